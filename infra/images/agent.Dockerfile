# The agent of a cluster with the local executor: Node for the agent, Python for the runner that it starts.
#   docker build -f infra/images/agent.Dockerfile -t beamtime/agent:0.1.0 .
# With NVIDIA GPUs: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu126, and the container toolkit on the host.
FROM node:24-bookworm-slim AS build
WORKDIR /beamtime
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json ./
COPY apps apps
COPY libs libs
RUN --mount=type=cache,target=/root/.npm \
    npm ci && npx tsc -b && npm prune --omit=dev --omit=optional

# The same base and the same path as below: a virtual environment does not move.
FROM node:24-bookworm-slim AS runner
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update && apt-get install --no-install-recommends -y python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY apps/runner /runner
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv /venv && /venv/bin/pip install --extra-index-url "$TORCH_INDEX" -c /runner/constraints.txt /runner

FROM node:24-bookworm-slim
RUN apt-get update && apt-get install --no-install-recommends -y python3 && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /beamtime
COPY --from=build /beamtime /beamtime
COPY --from=runner /venv /venv
# A new volume takes its owner from here.
RUN mkdir -p /var/lib/beamtime-agent && chown node:node /var/lib/beamtime-agent
USER node
VOLUME /var/lib/beamtime-agent
CMD ["node", "apps/agent/dist/main.js", "--config", "/etc/beamtime/agent.yaml"]
