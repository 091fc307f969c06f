import { spawnSync } from 'node:child_process';
import { type Outcome, stateBytes, stateOf } from '../../test/harness/host-state.ts';
import { nativeProgram } from '../../test/harness/native-program.ts';
import {
  codeAddress,
  codePages,
  dataAddress,
  pageSize,
  scratchAddress,
  scratchPages,
  stackAddress,
  stackPages,
} from './address-space.ts';
import type { Image } from './program.ts';

/** Where host programs end. */
export const exitAddress: number = codeAddress + codePages * pageSize - 16;
/** What is compared: linear addresses and sizes of struct memory of host.c. */
export const comparedMemory: readonly (readonly [address: number, bytes: number])[] = [
  [scratchAddress, scratchPages * pageSize],
  [dataAddress, pageSize],
  [stackAddress, stackPages * pageSize],
];
const memoryBytes = comparedMemory.reduce((sum, [, bytes]) => sum + bytes, 0);
const codeBytes = codePages * pageSize;
const programBytes = stateBytes + memoryBytes + codeBytes;
const resultHeader = 16;
const resultBytes = resultHeader + stateBytes + memoryBytes;

export interface HostOutcome {
  readonly outcome: Outcome;
  /** Of {@link comparedMemory}, one behind the other. */
  readonly memory: Uint8Array;
}

/** Runs programs on the host processor; fewer answers than programs if one of them brought the harness down. */
export function runOnHost(images: readonly Image[]): HostOutcome[] {
  const input = Buffer.alloc(images.length * programBytes);
  for (const [i, { state, parts }] of images.entries()) {
    let at = i * programBytes;
    input.set(state.bytes, at);
    at += stateBytes;
    for (const [address, bytes] of [...comparedMemory, [codeAddress, codeBytes] as const]) {
      const part = parts.find((candidate) => candidate.address === address);
      if (part !== undefined) input.set(part.bytes, at);
      at += bytes;
    }
  }
  const { stdout } = spawnSync(nativeProgram(new URL('host.c', import.meta.url), ['-no-pie']), {
    input,
    maxBuffer: 2 ** 30,
  });
  const outcomes: HostOutcome[] = [];
  for (let at = 0; at + resultBytes <= stdout.length; at += resultBytes) {
    const state = at + resultHeader;
    outcomes.push({
      outcome: {
        problem: undefined,
        vector: stdout.readInt32LE(at),
        error: stdout.readUInt32LE(at + 4),
        address: stdout.readBigUInt64LE(at + 8),
        state: stateOf(stdout.subarray(state, state + stateBytes)),
        changedFrom: 0,
        changed: new Uint8Array(0),
      },
      memory: stdout.subarray(state + stateBytes, at + resultBytes),
    });
  }
  return outcomes;
}
