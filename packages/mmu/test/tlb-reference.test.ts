import { describe, expect, test } from 'vitest';
import {
  type ContextTag,
  createTlb,
  Rights,
  type TlbBackend,
  TlbEntry,
  type TlbOptions,
} from '../src/index.ts';
import { high, low } from './oracle/machine.ts';
import { Random, seed } from './oracle/random.ts';
import { type ReferenceEntry, type ReferenceTag, ReferenceTlb } from './oracle/reference-tlb.ts';

const tagOf = ({ owner, vpidOrAsid, pcid = 0, eptpOrNcr3 = -1, stage }: ContextTag): ReferenceTag => ({
  space: stage === 'guestPhysical' && owner !== 'svm' ? -1 : vpidOrAsid,
  pcid,
  root: eptpOrNcr3,
  stage: stage ?? (eptpOrNcr3 >= 0 ? 'combined' : 'linear'),
});

const intelTags: ContextTag[] = [
  ...[0, 1, 2].map((pcid): ContextTag => ({ owner: 'host', vpidOrAsid: 0, pcid })),
  { owner: 'vmx', vpidOrAsid: 0, eptpOrNcr3: 77 },
  ...[0, 1].map((pcid): ContextTag => ({ owner: 'vmx', vpidOrAsid: 1, pcid, eptpOrNcr3: 77 })),
  { owner: 'vmx', vpidOrAsid: 1, pcid: 1, eptpOrNcr3: 88 },
  { owner: 'vmx', vpidOrAsid: 1, pcid: 1 },
  { owner: 'vmx', vpidOrAsid: 2, eptpOrNcr3: 88 },
  { owner: 'vmx', vpidOrAsid: 1, eptpOrNcr3: 77, stage: 'guestPhysical' },
  { owner: 'vmx', vpidOrAsid: 2, eptpOrNcr3: 88, stage: 'guestPhysical' },
];
const amdTags: ContextTag[] = [
  ...[0, 1].map((pcid): ContextTag => ({ owner: 'host', vpidOrAsid: 0, pcid })),
  ...[0, 1].map((pcid): ContextTag => ({ owner: 'svm', vpidOrAsid: 1, pcid })),
  { owner: 'svm', vpidOrAsid: 2, stage: 'combined' },
  { owner: 'svm', vpidOrAsid: 1, stage: 'guestPhysical' },
  { owner: 'svm', vpidOrAsid: 2, eptpOrNcr3: 99, stage: 'guestPhysical' },
];

const addresses = [
  0n,
  0x1000n,
  0x2000n,
  0x20_0000n,
  0x20_3000n,
  0x40_0000n,
  0x4000_0000n,
  0x8000_0000_0000n,
  0x8000_0000_1000n,
  0xffff_8000_0000_0000n,
  0xffff_8000_0020_1000n,
];

/** Entries as a fast TLB would hold them: inserted, minus what was reported lost. */
class Shadow {
  readonly held = new Set<string>();
  key(context: number, address: bigint, shift: number): string {
    return `${context} ${address >> BigInt(shift)} ${shift}`;
  }
}

function run(name: string, options: TlbOptions, vendor: 'intel' | 'amd', round: number, steps: number): void {
  const random = new Random(seed * 7919 + round);
  const tags = vendor === 'intel' ? intelTags : amdTags;
  const tlb: TlbBackend = createTlb(name, { vendor, ...options });
  const contexts = tags.map((tag) => tlb.internContext(tag));
  const references = tags.map(tagOf);
  const reference = new ReferenceTlb(vendor);
  const shadow = new Shadow();
  tlb.listener = {
    onDrop(context, entryLow, entryHigh, shift) {
      const address = (BigInt.asUintN(32, BigInt(entryHigh)) << 32n) | BigInt(entryLow >>> 0);
      expect(shadow.held.delete(shadow.key(context, address, shift)), 'a loss of what was there').toBe(true);
    },
    onFlush(context) {
      for (const key of shadow.held) if (key.startsWith(`${context} `)) shadow.held.delete(key);
    },
  };
  const globalsOf = (i: number) => tlb.internContext({ ...tags[i], pcid: -1 });
  const entry = new TlbEntry();
  for (let step = 0; step < steps; step++) {
    const i = random.below(tags.length);
    const j = random.below(tags.length);
    const [context, tag] = [contexts[i], references[i]];
    const address = random.of(addresses) | BigInt(random.below(4096));
    const [l, h] = [low(address), high(address)];
    const linear = tag.stage !== 'guestPhysical';
    switch (random.below(linear ? 24 : 12)) {
      case 0:
      case 1:
      case 2: {
        const level = 2 + random.below(4);
        const page = random.below(2 ** 30);
        tlb.insertStructure(context, l, h, level, page, 3);
        reference.insert({
          ...tag,
          kind: 'structure',
          address,
          bits: [21, 30, 39, 48][level - 2],
          guestBits: 0,
          page,
          global: false,
        });
        break;
      }
      case 3: {
        const other = linear ? j : -1;
        const linearOther = other >= 0 && references[other].stage !== 'guestPhysical' ? other : -1;
        const guest = references[j].stage === 'guestPhysical' ? j : -1;
        const guestAddress = random.of(addresses);
        tlb.secondStageFault(
          guest < 0 ? -1 : contexts[guest],
          low(guestAddress),
          high(guestAddress),
          linearOther < 0 ? -1 : contexts[linearOther],
          l,
          h,
        );
        reference.secondStageFault(
          guest < 0 ? undefined : references[guest],
          guestAddress,
          linearOther < 0 ? undefined : references[linearOther],
          address,
        );
        break;
      }
      case 12:
      case 13:
        tlb.invlpg(context, l, h, 0x80);
        reference.invlpg(tag, address);
        break;
      case 14: {
        const [type, pcid] = [random.below(4), random.below(3)];
        tlb.invpcid(context, type, pcid, l, h);
        reference.invpcid(tag, type, pcid, address);
        break;
      }
      case 15: {
        const noFlush = random.chance(0.5);
        if (references[j].stage === 'guestPhysical') break;
        tlb.setCr3(context, contexts[j], noFlush);
        reference.setCr3(references[j], noFlush);
        break;
      }
      case 16: {
        const bits = [4, 5, 7, 17, 20, 22].map((bit) => 2 ** bit);
        const some = () => bits.reduce((sum, bit) => sum + (random.chance(0.7) ? bit : 0), 0);
        const cr4 = some();
        const cr4New = random.chance(0.3) ? cr4 : random.chance(0.5) ? cr4 ^ random.of(bits) : some();
        const [cr0, cr0New] = [random.chance(0.9) ? -0x7fff_ffff : 1, random.chance(0.9) ? -0x7fff_ffff : 1];
        tlb.crChange(context, cr0, cr0New, cr4, cr4New);
        reference.crChange(tag, cr0, cr0New, cr4, cr4New);
        break;
      }
      case 17:
        tlb.pageFault(context, l, h);
        reference.pageFault(tag, address);
        break;
      case 18:
        if (vendor === 'amd') {
          const asid = random.below(4);
          tlb.invlpga(asid, l, h);
          reference.invlpga(asid, address);
        } else {
          const [type, vpid] = [random.below(4), random.below(4)];
          tlb.invvpid(type, vpid, l, h);
          reference.invvpid(type, vpid, address);
        }
        break;
      case 19:
        if (vendor === 'amd') {
          const kind = random.of(['all', 'asid', 'asid', 'asidNonGlobal', 'asidNonGlobal'] as const);
          const keep = random.chance(0.4);
          const asid = random.below(4);
          tlb.tlbControl(kind, asid, keep);
          reference.tlbControl(kind, asid, keep);
        } else {
          const [type, root] = [1 + random.below(2), random.of([77, 88, 5])];
          tlb.invept(type, root);
          reference.invept(type, root);
        }
        break;
      case 20:
        tlb.nestedTransition(contexts[0], context);
        if (tags[i].owner === 'vmx' && tags[i].vpidOrAsid === 0) reference.flushVpid0();
        break;
      case 21:
        if (!random.chance(0.1)) break;
        tlb.reset();
        reference.everything();
        break;
      default: {
        const shift = random.of([12, 12, 12, 21, 30, 22]);
        const global = linear && random.chance(0.3);
        const page = random.below(2 ** 30);
        entry.page = page;
        entry.shift = shift;
        entry.guestShift = random.of([12, 21, 30].filter((bits) => bits >= shift).concat(shift));
        entry.rights = global ? Rights.global : 0;
        const first = page - Number((address & ((1n << BigInt(shift)) - 1n)) >> 12n);
        if (first < 0) break;
        tlb.insert(context, l, h, entry);
        const owner = global ? globalsOf(i) : context;
        const added: ReferenceEntry = {
          ...tag,
          kind: 'page',
          address,
          bits: shift,
          guestBits: entry.guestShift,
          page: first,
          global,
        };
        reference.insert(added);
        if (name !== 'none') shadow.held.add(shadow.key(owner, address, shift));
        break;
      }
    }
    check(name, tlb, contexts, references, reference, random, `round ${round}, step ${step}`);
  }
  // Everything that can still be found has a copy that was not reported lost, and the reverse.
  const found = new Set<string>();
  for (const [i, context] of contexts.entries())
    for (const address of addresses)
      if (tlb.probe(context, low(address), high(address), entry)) {
        const owner = (entry.rights & Rights.global) !== 0 ? globalsOf(i) : context;
        found.add(shadow.key(owner, address, entry.shift));
      }
  for (const key of found) expect(shadow.held.has(key), key).toBe(true);
  if (name === 'none') return;
  const { pages } = tlb.save().state as { pages: { used: number }[] };
  expect(shadow.held.size, 'reported lost, or still there').toBe(
    pages.reduce((sum, { used }) => sum + used, 0),
  );
}

function check(
  name: string,
  tlb: TlbBackend,
  contexts: number[],
  tags: ReferenceTag[],
  reference: ReferenceTlb,
  random: Random,
  where: string,
): void {
  const entry = new TlbEntry();
  for (let n = 0; n < 12; n++) {
    const i = random.below(tags.length);
    const address = random.of(addresses) | BigInt(random.below(4096));
    const expected = reference.lookup(tags[i], address);
    const hit = tlb.probe(contexts[i], low(address), high(address), entry);
    const place = `${where}: ${JSON.stringify(tags[i])} ${address.toString(16)}`;
    if (name === 'exact' && hit !== expected.length > 0) expect.fail(`${place}: ${hit ? 'kept' : 'lost'}`);
    // Nobody keeps more than is legal.
    const legal = (e: ReferenceEntry) => {
      const page = e.page + Number((address & ((1n << BigInt(e.bits)) - 1n)) >> 12n);
      return entry.page === page && entry.shift === e.bits;
    };
    if (hit && !expected.some(legal)) expect.fail(`${place}: found ${entry.page} ${entry.shift}`);
    const table = reference.lookupStructure(tags[i], address);
    const level = tlb.probeStructure(contexts[i], low(address), high(address), entry);
    if (name === 'exact') {
      const wanted = table === undefined ? 0 : [21, 30, 39, 48].indexOf(table.bits) + 2;
      if (level !== wanted) expect(level, where).toBe(wanted);
    } else if (level !== 0 && table === undefined) expect.fail(`${where}: kept a table`);
  }
}

describe(`T-01, D12: backends keep what the rules allow, and report each loss (SEED=${seed})`, () => {
  test.each([
    ['exact', {}],
    ['set-associative', { sets: 4, ways: 2 }],
    ['chaos', { sets: 4, ways: 2, seed: 5, interval: 3 }],
    ['none', undefined],
  ] as const)('%s', (name, options) => {
    for (let round = 0; round < 60; round++)
      run(name, options ?? {}, round % 2 === 0 ? 'intel' : 'amd', round, 150);
  });
});

describe(`T-06: snapshots (SEED=${seed})`, () => {
  test.each(['exact', 'set-associative', 'chaos'] as const)(
    '%s: a restored backend goes on as the original does',
    (name) => {
      const random = new Random(seed);
      const make = () =>
        createTlb(name, { contexts: 64, ...(name === 'exact' ? { cap: 100 } : { sets: 4, ways: 2 }) });
      const [original, copy] = [make(), make()];
      const steps = (tlb: TlbBackend, from: Random, count: number): string[] => {
        const entry = new TlbEntry();
        const seen: string[] = [];
        for (let n = 0; n < count; n++) {
          const context = tlb.internContext({ owner: 'host', vpidOrAsid: 0, pcid: from.below(20) });
          const address = from.below(400) * 4096;
          entry.page = from.below(1000);
          entry.shift = entry.guestShift = 12;
          entry.rights = from.chance(0.2) ? Rights.global : 0;
          if (from.chance(0.7)) tlb.insert(context, address, 0, entry);
          else if (from.chance(0.5)) tlb.insertStructure(context, address, 0, 2, entry.page, 0);
          else tlb.invlpg(context, address, 0, 0);
          const probe = from.below(400) * 4096;
          seen.push(tlb.probe(context, probe, 0, entry) ? `${entry.page} ${entry.rights}` : '-');
          seen.push(String(tlb.probeStructure(context, probe, 0, entry)));
        }
        return seen;
      };
      steps(original, random, 600);
      const snapshot = structuredClone(original.save());
      steps(copy, random, 50);
      copy.restore(snapshot);
      const next = random.below(2 ** 31);
      expect(steps(copy, new Random(next), 600)).toEqual(steps(original, new Random(next), 600));
      copy.restore();
      const context = copy.internContext({ owner: 'host', vpidOrAsid: 0, pcid: 1 });
      for (let page = 0; page < 400; page++)
        expect(copy.probe(context, page * 4096, 0, new TlbEntry())).toBe(false);
    },
  );
});
