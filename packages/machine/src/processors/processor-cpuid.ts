import { type CpuidSource, Segment, type VcpuState } from '@nest86/cpu';
import type { CpuidModel, DynamicBits } from '@nest86/cpuid';
import type { PagingContext } from '@nest86/mmu';

const cr4Osxsave = 0x4_0000;
const cr4Pke = 0x40_0000;
const eferLma = 0x400;
/** CS.L. */
const attributeLong = 0x2000;
const apicGlobalEnable = 0x800;
const miscMonitor = 0x4_0000;

/** CPUID of one processor: the model's leaves with the bits that tell of its present state (S3-03). */
export class ProcessorCpuid implements CpuidSource {
  /** The processor, once there is one; before that, features are shown as they are at their best. A guest's context is in the place of its host's. */
  processor: { readonly state: VcpuState; readonly context: PagingContext } | undefined;
  private readonly bits: { -readonly [Name in keyof DynamicBits]-?: Required<DynamicBits>[Name] };

  constructor(
    private readonly model: CpuidModel,
    apicId: number,
  ) {
    this.bits = {
      osxsave: false,
      ospke: false,
      apicId,
      xcr0: 1,
      xss: 0,
      apicEnabled: true,
      monitorEnabled: true,
      in64BitMode: true,
    };
  }

  read(leaf: number, subleaf: number, out: Int32Array): void {
    const { bits, processor } = this;
    if (processor !== undefined) {
      const { state, context } = processor;
      bits.osxsave = (context.cr4 & cr4Osxsave) !== 0;
      bits.ospke = (context.cr4 & cr4Pke) !== 0;
      bits.xcr0 = state.low('xcr0');
      bits.xss = state.low('xss');
      bits.apicEnabled = (state.low('apicBase') & apicGlobalEnable) !== 0;
      bits.monitorEnabled = (state.low('miscEnable') & miscMonitor) !== 0;
      bits.in64BitMode =
        (context.efer & eferLma) !== 0 && (state.get('segmentAttributes', Segment.cs) & attributeLong) !== 0;
    }
    this.model.read(leaf, subleaf, bits, out);
  }
}
