import type { VcpuState } from '../../src/state/vcpu-state.ts';
import { type HostState, stateAt } from './host-state.ts';

/** Gives a processor the user state of a native case. */
export function loadUserState(state: VcpuState, { view }: HostState): void {
  for (let number = 0; number < 16; number++)
    state.setPair('gpr', view.getInt32(8 * number, true), view.getInt32(8 * number + 4, true), number);
  state.flags = view.getInt32(stateAt.rflags, true);
  state.setPair('rip', view.getInt32(stateAt.rip, true), view.getInt32(stateAt.rip + 4, true));
  state.set('mxcsr', view.getInt32(stateAt.mxcsr, true));
  for (let number = 0; number < 16; number++) {
    for (let word = 0; word < 4; word++) {
      const at = 16 * number + 4 * word;
      state.set('vector', view.getInt32(stateAt.xmm + at, true), 16 * number + word);
      state.set('vector', view.getInt32(stateAt.upper + at, true), 16 * number + 4 + word);
    }
  }
  const status = view.getUint16(stateAt.x87Status, true);
  state.set('x87Control', view.getUint16(stateAt.x87Control, true));
  state.set('x87Status', status);
  state.set('x87Tags', view.getUint8(stateAt.x87Tags));
  for (let i = 0; i < 8; i++) {
    const number = ((status >>> 11) + i) & 7;
    const at = stateAt.st + 16 * i;
    state.setPair('x87', view.getInt32(at, true), view.getInt32(at + 4, true), 2 * number);
    state.setPair('x87', view.getUint16(at + 8, true), 0, 2 * number + 1);
  }
}

/** The way back. What a native state has beyond it stays. */
export function saveUserState(state: VcpuState, { view }: HostState): void {
  for (let number = 0; number < 16; number++) {
    view.setInt32(8 * number, state.low('gpr', number), true);
    view.setInt32(8 * number + 4, state.high('gpr', number), true);
  }
  view.setInt32(stateAt.rflags, state.flags, true);
  view.setInt32(stateAt.rip, state.low('rip'), true);
  view.setInt32(stateAt.rip + 4, state.high('rip'), true);
  view.setInt32(stateAt.mxcsr, state.get('mxcsr'), true);
  for (let number = 0; number < 16; number++) {
    for (let word = 0; word < 4; word++) {
      const at = 16 * number + 4 * word;
      view.setInt32(stateAt.xmm + at, state.get('vector', 16 * number + word), true);
      view.setInt32(stateAt.upper + at, state.get('vector', 16 * number + 4 + word), true);
    }
  }
  const status = state.get('x87Status');
  view.setUint16(stateAt.x87Control, state.get('x87Control'), true);
  view.setUint16(stateAt.x87Status, status, true);
  view.setUint8(stateAt.x87Tags, state.get('x87Tags'));
  for (let i = 0; i < 8; i++) {
    const number = ((status >>> 11) + i) & 7;
    const at = stateAt.st + 16 * i;
    view.setInt32(at, state.low('x87', 2 * number), true);
    view.setInt32(at + 4, state.high('x87', 2 * number), true);
    view.setUint16(at + 8, state.low('x87', 2 * number + 1), true);
  }
}
