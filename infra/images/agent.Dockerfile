# The agent of a cluster with the local executor: Node for the agent, Python for the runner that it starts.
FROM node:20-bookworm AS build
WORKDIR /beamtime
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json ./
COPY apps apps
COPY libs libs
RUN npm ci && npx tsc -b && npm prune --omit=dev
RUN apt-get update && apt-get install --no-install-recommends -y python3-venv && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /venv && /venv/bin/pip install --no-cache-dir -c apps/runner/constraints.txt ./apps/runner

FROM node:20-bookworm-slim
RUN apt-get update && apt-get install --no-install-recommends -y python3 && rm -rf /var/lib/apt/lists/*
WORKDIR /beamtime
COPY --from=build --chown=node:node /beamtime /beamtime
COPY --from=build --chown=node:node /venv /venv
RUN mkdir -p /var/lib/beamtime-agent && chown node:node /var/lib/beamtime-agent
USER node
VOLUME /var/lib/beamtime-agent
CMD ["node", "apps/agent/dist/main.js", "--config", "/etc/beamtime/agent.yaml"]
