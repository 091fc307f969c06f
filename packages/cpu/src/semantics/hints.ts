import type { Definition, Family } from './operation.ts';

const nothing: Definition = () => {};

/** The line must be readable, nothing else: caches are not modelled (SDM vol. 2A, "CLFLUSH"). */
const flushLine: Definition = (op) => {
  op.read(0);
};

/** Stores that may pass others: with one processor running at a time, stores. */
const store: Definition = (op) => op.write(0, op.read(1));

/** Instructions that say something about timing, order or caches and change nothing a program sees. */
export const hints: Family = {
  definitions: {
    NOP: nothing,
    RESERVEDNOP: nothing,
    PAUSE: nothing,
    IBHF: nothing,
    PREFETCH: nothing,
    PREFETCHW: nothing,
    PREFETCHWT1: nothing,
    PREFETCHNTA: nothing,
    PREFETCHT0: nothing,
    PREFETCHT1: nothing,
    PREFETCHT2: nothing,
    PREFETCHIT0: nothing,
    PREFETCHIT1: nothing,
    PREFETCHRST2: nothing,
    LFENCE: nothing,
    MFENCE: nothing,
    SFENCE: nothing,
    CLDEMOTE: nothing,
    CLFLUSH: flushLine,
    CLFLUSHOPT: flushLine,
    CLWB: flushLine,
    MOVDIRI: store,
  },
};
