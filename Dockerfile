# The worker on its own: docs/deploy.md deploys it, docs/operations.md lists its settings.
FROM python:3.12.12-slim-bookworm

# tini takes the place of the first process: without it, the ended children of runs would stay
# as zombies, and a supervisor that was killed would look alive. No versions here: Debian's mirrors
# keep only the newest of each package.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends git git-lfs openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 mlgate \
    && install -d -o mlgate -g mlgate -m 0700 /var/lib/mlgate

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

ENTRYPOINT ["tini", "--", "mlgate"]
CMD ["worker"]
