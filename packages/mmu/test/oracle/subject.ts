import {
  Access,
  eptFrom,
  Fault,
  PagingContext,
  PagingModel,
  patIndexShift,
  protectionKeyShift,
  Rights,
  type SecondStage,
  type Translation,
} from '../../src/index.ts';
import type { Outcome, ReferenceAccess, ReferenceState } from './reference-walker.ts';

/** Our names for what the reference is asked. */
export function modelOf({ vendor, maxphyaddr, pages1G, pse36 }: ReferenceState): PagingModel {
  return new PagingModel({ vendor, physicalBits: maxphyaddr, pages1G, pse36 });
}

export function contextOf(s: ReferenceState): PagingContext {
  const context = new PagingContext(s);
  context.secondStage = stageOf(s);
  return context;
}

function stageOf({ stage }: ReferenceState): SecondStage | null {
  if (stage === undefined) return null;
  if (stage.kind === 'npt') {
    const { cr0, cr4, efer, pointer } = stage;
    return { kind: 'npt', paging: new PagingContext({ cr0, cr4, efer, cr3: pointer }), tlbContext: -1 };
  }
  const { modeBased, executeOnly, pages1G, advanced } = stage;
  return eptFrom(stage.pointer, {
    modeBasedExecute: modeBased,
    executeOnly,
    pages1G,
    advancedInformation: advanced,
  });
}

export function accessOf({ kind, user, implicit, shadowStack }: ReferenceAccess): number {
  return (
    Access[kind] |
    (user ? Access.user : 0) |
    (implicit ? Access.implicit : 0) |
    (shadowStack ? Access.shadowStack : 0)
  );
}

/** Our answer in the reference's words. */
export function outcomeOf(t: Translation, fault: number, linear: bigint): Outcome {
  const gpa = BigInt(t.guestPage) * 4096n + BigInt(t.guestOffset);
  switch (fault) {
    case Fault.page:
      return { result: '#PF', code: t.errorCode };
    case Fault.eptViolation:
      return { result: 'EPT violation', qualification: t.errorCode, gpa, suppressVe: t.suppressVe };
    case Fault.eptMisconfiguration:
      return { result: 'EPT misconfiguration', gpa };
    case Fault.nestedPage:
      return { result: '#NPF', info: (BigInt(t.errorCodeHigh) << 32n) | BigInt(t.errorCode), gpa };
    default: {
      const has = (right: number): boolean => (t.rights & right) !== 0;
      return {
        result: 'ok',
        address: BigInt(t.page) * 4096n + (linear & 0xfffn),
        size: 1n << BigInt(t.shift),
        rights: {
          write: has(Rights.write),
          user: has(Rights.user),
          nx: has(Rights.noExecute),
          dirty: has(Rights.dirty),
          global: has(Rights.global),
          key: (t.rights >>> protectionKeyShift) & 15,
          pat: (t.rights >>> patIndexShift) & 7,
        },
      };
    }
  }
}
