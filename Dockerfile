# Two images. `worker`, the last one and so what a build without a target makes, handles the queue;
# `serving` answers for a model. docs/deploy.md deploys them, docs/operations.md and docs/serving.md
# list their settings.
FROM python:3.12.12-slim-bookworm AS base

# tini takes the place of the first process: without it, ended children of runs and models would
# stay as zombies, and a supervisor that was killed would look alive. No versions here: Debian's
# mirrors keep only the newest of each package.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 mlgate \
    && install -d -o mlgate -g mlgate -m 0700 /var/lib/mlgate
ENTRYPOINT ["tini", "--", "mlgate"]


FROM base AS serving

WORKDIR /opt/mlgate
# Models are loaded with what is in this lock: what a serving run tried with it will load here.
COPY requirements-serving.txt ./
RUN pip install --no-cache-dir -r requirements-serving.txt
COPY pyproject.toml README.md LICENSE ./
COPY handlers handlers
COPY mlgate mlgate
# Nothing more: neither git nor a queue's client is of use here.
RUN pip install --no-cache-dir --no-deps .

ENV MLGATE_HOME=/var/lib/mlgate
WORKDIR /var/lib/mlgate
USER 10001
EXPOSE 5000
CMD ["serve", "--own-environment", "--host", "0.0.0.0"]


FROM base AS worker

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git git-lfs openssh-client \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/mlgate
COPY pyproject.toml README.md LICENSE ./
COPY handlers handlers
COPY mlgate mlgate
# What is installed is this folder; pyproject.toml has the versions.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir '.[local,azureml]'

ENV MLGATE_HOME=/var/lib/mlgate \
    MLGATE_STATE=sqlite:/var/lib/mlgate/state.db \
    MLGATE_BUILDS=/var/lib/mlgate/builds
WORKDIR /var/lib/mlgate
USER 10001

# The worker touches the file after each sweep, every 15 seconds, that state and queue answered.
HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find \"$MLGATE_HOME/worker.alive\" -mmin -3)\""]

CMD ["worker"]
