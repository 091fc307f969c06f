import type { LeafRow } from './features.ts';
import { Register } from './features.ts';
import type { CpuidModel, DynamicBits } from './model.ts';

const cacheLeaves: readonly number[] = [4, 0x8000001d];
const levelLeaves: readonly number[] = [0xb, 0x1f, 0x80000026];
/** Their EAX tells the highest subleaf. */
const countedLeaves: readonly number[] = [7, 0x14, 0x17, 0x18, 0x1d, 0x20];
const xsaveLeaf = 0xd;

/** All leaves and subleaves that a model tells, in order, as tools list them: with the first one that says that there is no more. */
export function cpuidEntries(model: CpuidModel, dynamic: DynamicBits): LeafRow[] {
  const rows: LeafRow[] = [];
  const out = new Int32Array(4);
  const add = (leaf: number, subleaf: number): void => {
    model.read(leaf, subleaf, dynamic, out);
    const [eax, ebx, ecx, edx] = out;
    rows.push([leaf, subleaf, eax >>> 0, ebx >>> 0, ecx >>> 0, edx >>> 0]);
  };
  for (const first of [0, ...model.hypervisorBases, 0x80000000]) {
    model.read(first, 0, dynamic, out);
    const last = out[Register.eax] >>> 0;
    for (let leaf = first; leaf <= last; leaf++) {
      add(leaf, 0);
      if (cacheLeaves.includes(leaf)) for (let i = 1; (out[Register.eax] & 0x1f) !== 0; i++) add(leaf, i);
      else if (levelLeaves.includes(leaf))
        for (let i = 1; ((out[Register.ecx] >>> 8) & 0xff) !== 0; i++) add(leaf, i);
      else if (countedLeaves.includes(leaf)) {
        const most = Math.min(out[Register.eax] >>> 0, 63);
        for (let i = 1; i <= most; i++) add(leaf, i);
      } else if (leaf === xsaveLeaf && model.xcr0Mask !== 0) {
        add(leaf, 1);
        for (let i = 2; i < 32; i++) if ((((model.xcr0Mask | model.xssMask) >>> i) & 1) !== 0) add(leaf, i);
      }
    }
  }
  return rows;
}
