"""The Open Inference Protocol with the binary tensor extension, below `/v2`."""

from .calls import calls as calls
from .calls import openapi as openapi
from .calls import routes as routes
