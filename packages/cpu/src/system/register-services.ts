import { controlRegisterServices } from './control-registers.ts';
import { counterServices } from './counters.ts';
import { debugRegisterServices } from './debug-registers.ts';
import { flagServices } from './flags.ts';
import { fxsaveServices } from './fxsave.ts';
import { identificationServices } from './identification.ts';
import { invalidationServices } from './invalidation.ts';
import { ioServices } from './io.ts';
import { msrServices } from './msrs.ts';
import { protectionKeyServices } from './protection-keys.ts';
import { segmentBaseServices } from './segment-bases.ts';
import { smmServices } from './smm.ts';
import { tableServices } from './tables.ts';
import type { Services } from './unit.ts';
import { waitServices } from './wait.ts';
import { x87EnvironmentServices } from './x87-environment.ts';
import { xsaveServices } from './xsave.ts';

/** Instructions about registers, ports and state images. MOV goes by what it moves: `MOV.CONTROL`, `MOV.DEBUG`. */
export const registerServices: Services = {
  ...controlRegisterServices,
  ...debugRegisterServices,
  ...msrServices,
  ...counterServices,
  ...identificationServices,
  ...tableServices,
  ...invalidationServices,
  ...segmentBaseServices,
  ...flagServices,
  ...ioServices,
  ...waitServices,
  ...protectionKeyServices,
  ...x87EnvironmentServices,
  ...fxsaveServices,
  ...xsaveServices,
  ...smmServices,
};
