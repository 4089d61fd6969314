export { TunnelBroken, TunnelConnection, type TunnelOwner } from './tunnel-connection.js';
export { TUNNEL_AUTHORITY, type TunnelAuthority, TunnelGate } from './tunnel-gate.js';
export { type LiveModel, TunnelHub } from './tunnel-hub.js';
