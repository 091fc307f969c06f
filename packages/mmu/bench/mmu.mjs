/**
 * `node packages/mmu/bench/mmu.mjs` after a build: nanoseconds per translation, on dist and plain node. Random pages of 64 MiB in 4-level
 * tables, so that most look-ups miss a TLB of 1,536 entries; and 64 pages, so that all hit. The median of rounds; each row is a process of its own, as a
 * machine has one backend.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  Access,
  createTlb,
  eptFrom,
  Mmu,
  PageWalker,
  PagingContext,
  PagingModel,
  PhysicalMemory,
  TlbEntry,
  Translation,
} from '../dist/index.js';

const guestPages = (64 << 20) / 4096;
const size = 160 << 20;
const memory = new PhysicalMemory({
  buffer: new WebAssembly.Memory({ initial: size >> 16, maximum: size >> 16 }).buffer,
});
memory.addRegion({ kind: 'ram', start: 0, size, backing: 0 });
const view = new DataView(memory.bytes.buffer);
const write = (page, index, value) => view.setBigUint64(page * 4096 + index * 8, value, true);

/** Tables that map the first pages one to one; returns the root. `leaf` and `above` are flags. */
function tables(first, pages, above, leaf) {
  write(first, 0, (BigInt(first + 1) << 12n) | above);
  write(first + 1, 0, (BigInt(first + 2) << 12n) | above);
  for (let page = 0; page < pages; page++) {
    if (page % 512 === 0) write(first + 2, page / 512, (BigInt(first + 3 + page / 512) << 12n) | above);
    write(first + 3 + Math.floor(page / 512), page % 512, (BigInt(page) << 12n) | leaf);
  }
  return first;
}

const guestRoot = tables(20_000, guestPages, 0x27n, 0x67n);
const eptRoot = tables(30_000, size / 4096, 0x107n, 0x337n);
const model = new PagingModel();
const registers = { cr0: 0x8001_0001 | 0, cr3: guestRoot * 4096, cr4: 0xa0, efer: 0xd00 };
const out = new Translation();
const entry = new TlbEntry();
const count = 1 << 16;
const linear = (pages) => Int32Array.from({ length: count }, () => Math.floor(Math.random() * pages) * 4096);
const wide = linear(guestPages);
const narrow = linear(64);

function machine(name, staged) {
  const tlb = createTlb(name);
  const mmu = new Mmu({ memory, tlb, model });
  const context = new PagingContext(registers);
  if (staged) context.secondStage = eptFrom((BigInt(eptRoot) << 12n) | 0x1en);
  mmu.enter(
    context,
    staged ? { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: eptRoot } : { owner: 'host', vpidOrAsid: 0 },
  );
  return { tlb, mmu, context };
}

/** Takes in what was found, so that nothing can be left out. */
let sum = 0;

function measure(addresses, once) {
  const times = [];
  for (let round = 0; round < 31; round++) {
    const start = performance.now();
    for (let i = 0; i < count; i++) once(addresses[i]);
    times.push(((performance.now() - start) * 1e6) / count);
  }
  times.sort((a, b) => a - b);
  return times[15];
}

function translating(name, staged, addresses) {
  const { mmu, context } = machine(name, staged);
  return measure(addresses, (low) => {
    mmu.translate(context, low, 0, Access.read, out);
    sum += out.page;
  });
}

const cases = {
  'walk, 4 levels, no cache': () => {
    const walker = new PageWalker(memory, model);
    const bare = new PagingContext(registers);
    return measure(wide, (low) => {
      walker.walk(bare, low, 0, Access.read, false, false, out);
      sum += out.page;
    });
  },
  'translate, set-associative, random page of 64 MiB': () => translating('set-associative', false, wide),
  'translate, exact, random page of 64 MiB': () => translating('exact', false, wide),
  'translate, none, random page of 64 MiB': () => translating('none', false, wide),
  'translate, set-associative, hit': () => translating('set-associative', false, narrow),
  'lookup alone, set-associative, hit': () => {
    const { tlb, mmu, context } = machine('set-associative', false);
    for (const low of narrow) mmu.translate(context, low, 0, Access.read, out);
    return measure(narrow, (low) => {
      tlb.lookup(context.tlbContext, low, 0, Access.read, entry);
      sum += entry.page;
    });
  },
  'translate over EPT, set-associative, random page of 64 MiB': () =>
    translating('set-associative', true, wide),
  'translate over EPT, set-associative, hit': () => translating('set-associative', true, narrow),
  'translate over EPT, none': () => translating('none', true, wide),
  'MOV to CR3 with a full TLB (1,536 entries)': () => {
    const { tlb, mmu, context } = machine('set-associative', false);
    let time = 0;
    for (let i = 0; i < 300; i++) {
      for (let n = 0; n < 8192; n++)
        mmu.translate(context, wide[(i * 8192 + n) % count], 0, Access.read, out);
      const start = performance.now();
      tlb.setCr3(context.tlbContext, context.tlbContext, false);
      if (i >= 100) time += performance.now() - start;
    }
    return (time * 1e6) / 200;
  },
};

const chosen = process.argv[2];
if (chosen !== undefined) console.log(cases[chosen](), Number.isNaN(sum) ? 'no pages' : '');
else
  for (const name of Object.keys(cases)) {
    const result = execFileSync(process.execPath, [fileURLToPath(import.meta.url), name], {
      encoding: 'utf8',
    });
    console.log(`${name.padEnd(60)} ${Number(result).toFixed(1).padStart(9)} ns`);
  }
