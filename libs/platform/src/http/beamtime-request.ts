import type { EndpointSpec, InputOf } from '@beamtime/contracts';
import type { Request } from 'express';
import type { Principal } from './principal.js';

/** An Express request with what the guard and the validation put on it. */
export interface BeamtimeRequest extends Request {
  beamtime?: { principal?: Principal; input?: InputOf<EndpointSpec>; spec?: EndpointSpec };
}
