// A kernel booted to its end, and what it left: the same lines on every engine. Runs as it stands in Node and in a browser's worker.
import { Machine, memoryHash, readBootImage, stateHash } from '@nest86/machine';

/** Bytes of RAM, unless something else is asked for. */
const defaultMemory = 256 << 20;

/**
 * @param files `{ kernel, initrd, append }`: a bzImage, an initramfs, the command line
 * @param options of the machine; `serial` takes its output
 */
export function startKernel({ kernel, initrd, append }, { memory = defaultMemory, ...options }) {
  const machine = new Machine({ memory, ...options });
  const modules = [{ bytes: initrd, commandLine: '' }];
  machine.start(readBootImage(kernel), { commandLine: append, modules });
  return machine;
}

/** One line for all that programs can see: count and state of each processor, guest time, RAM. */
export function fingerprint(machine) {
  const ram = new Uint8Array(machine.engine.memory.buffer, machine.physical.base, machine.memory);
  const instructions = machine.processors.reduce((sum, { retired }) => sum + retired, 0);
  const states = machine.processors.map(({ retired, processor }) => `${retired}:${stateHash(processor)}`);
  return `${instructions} instructions, ${machine.clock.now} ns, state ${states.join(' ')}, memory ${memoryHash(ram)}`;
}

/**
 * Runs to the end with its fingerprint, and every `interval` instructions before it.
 *
 * @param slice instructions of a run; divides `interval`, has no influence on what happens
 * @param tell gets each line as soon as it is known
 */
export function trace(machine, { interval, slice = interval, most = 1e11 }, tell) {
  for (let done = 0; done < most; ) {
    const { reason, problem } = machine.run(slice);
    done += slice;
    if (reason !== 'limit') {
      tell(`${problem ?? reason}: ${fingerprint(machine)}`);
      return;
    }
    if (done % interval === 0) tell(fingerprint(machine));
  }
  tell('no end');
}
