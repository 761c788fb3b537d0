# Runs a study: docker build --tag pruning-study:0.1.0 .      with GPUs: --build-arg DEVICE=gpu     (docs/running.md)
FROM python:3.11-slim-bookworm

# cpu: PyTorch's own builds without CUDA, a tenth of the size; gpu: those of PyPI, with CUDA.
ARG DEVICE=cpu

# wget is what KubeRay asks Ray's health with; g++ is what torch.compile and Triton need.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ wget \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/pruning
COPY requirements.lock ./
RUN case "$DEVICE" in \
        cpu) pip install --no-cache-dir --no-deps --index-url https://download.pytorch.org/whl/cpu \
                 $(grep --only-matching --extended-regexp '^(torch|torchvision)==[^ ;]+' requirements.lock) \
             && grep --invert-match --extended-regexp '^(torch|torchvision|triton|nvidia-|cuda-)' requirements.lock > wanted.txt ;; \
        gpu) cp requirements.lock wanted.txt ;; \
        *) echo "DEVICE must be cpu or gpu, but got '$DEVICE'"; exit 2 ;; \
    esac \
    && pip install --no-cache-dir --no-deps --requirement wanted.txt \
    && rm wanted.txt

COPY pyproject.toml README.md ./
COPY analysis analysis
COPY models models
COPY pruning pruning
COPY sweeps sweeps
COPY trainables trainables

# Any user may run it (docker run --user), so home is a folder that everybody can write.
RUN useradd --create-home study && mkdir /studies && chmod 777 /studies
ENV HOME=/tmp PRUNING_DATA_CACHE=/tmp/data RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1
USER study
VOLUME /studies

ENTRYPOINT ["python", "/opt/pruning/sweeps/full_study.py"]
CMD ["--preset", "digits", "--out", "/studies/digits"]
