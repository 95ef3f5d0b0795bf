# syntax=docker/dockerfile:1

# Images of the service: `--target cpu` (also the default) and `--target gpu`.
# Everything is installed from hash-pinned wheels; the image holds neither pip nor a compiler in its environment.

FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY requirements/build.txt requirements/build.txt
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY service service
COPY clients clients
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

FROM python:3.11-slim-bookworm AS environment
RUN python -m venv --without-pip /opt/equifield
WORKDIR /src

FROM environment AS environment-cpu
COPY requirements/server-cpu.txt requirements/server-cpu.txt
RUN pip --python /opt/equifield install --no-cache-dir --only-binary :all: --require-hashes -r requirements/server-cpu.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/equifield install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM environment AS environment-gpu
COPY requirements/server-gpu.txt requirements/server-gpu.txt
RUN pip --python /opt/equifield install --no-cache-dir --only-binary :all: --require-hashes -r requirements/server-gpu.txt
COPY --from=wheel /wheels /wheels
RUN pip --python /opt/equifield install --no-cache-dir --no-index --no-deps /wheels/*.whl

FROM python:3.11-slim-bookworm AS runtime
RUN groupadd --gid 10001 equifield \
    && useradd --uid 10001 --gid equifield --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin equifield \
    && install --directory --owner equifield --group equifield --mode 0700 /var/spool/equifield
COPY models_store /models
# 0.0.0.0 is every interface of the container, not of the host: what is published decides who reaches it. The service
# starts there with keys (EQUIFIELD_KEYS), or with EQUIFIELD_OPEN=true, for whoever runs the image to say.
ENV PATH=/opt/equifield/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EQUIFIELD_HOST=0.0.0.0 \
    EQUIFIELD_PORT=8000 \
    EQUIFIELD_STORE=/models
USER 10001:10001
WORKDIR /var/spool/equifield
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['EQUIFIELD_PORT']}/healthz/ready\", timeout=4)"]
ENTRYPOINT ["equifield"]
CMD ["serve"]

FROM runtime AS gpu
# The driver's libraries come from the NVIDIA container runtime, CUDA itself from the wheels.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=environment-gpu /opt/equifield /opt/equifield

FROM runtime AS cpu
COPY --from=environment-cpu /opt/equifield /opt/equifield
