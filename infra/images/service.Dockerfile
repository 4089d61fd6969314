# One image for governance, scheduler, access and gateway (and facility): the command chooses.
#   docker build -f infra/images/service.Dockerfile -t beamtime/service:0.1.0 .
FROM node:24-bookworm-slim AS build
WORKDIR /beamtime
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json ./
COPY apps apps
COPY libs libs
# Without the optional packages: PostgreSQL's binaries are for the facility on one machine, which brings no image.
RUN --mount=type=cache,target=/root/.npm \
    npm ci && npx tsc -b && npm prune --omit=dev --omit=optional

FROM node:24-bookworm-slim
ENV NODE_ENV=production BEAMTIME_HOST=0.0.0.0
WORKDIR /beamtime
# Owned by root: what runs cannot change what it runs.
COPY --from=build /beamtime /beamtime
USER node
EXPOSE 8420
CMD ["node", "apps/gateway/dist/main.js"]
