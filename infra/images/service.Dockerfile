# One image for governance, scheduler, access, gateway and facility: the command chooses the service.
FROM node:20-bookworm-slim AS build
WORKDIR /beamtime
COPY package.json package-lock.json .npmrc tsconfig.json tsconfig.base.json ./
COPY apps apps
COPY libs libs
RUN npm ci && npx tsc -b && npm prune --omit=dev

FROM node:20-bookworm-slim
ENV NODE_ENV=production BEAMTIME_HOST=0.0.0.0
WORKDIR /beamtime
COPY --from=build --chown=node:node /beamtime /beamtime
USER node
EXPOSE 8420
CMD ["node", "apps/gateway/dist/main.js"]
