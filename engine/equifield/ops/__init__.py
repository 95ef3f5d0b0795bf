"""Pure functions on tensor images."""

from ._action import act as act
from ._action import act_by_index as act_by_index
from ._action import translate as translate
from ._action import turn as turn
from ._channels import channel_norms as channel_norms
from ._channels import concatenate as concatenate
from ._channels import field_labels as field_labels
from ._channels import split as split
from ._channels import squared_norm as squared_norm
from ._padding import pad as pad
