import { type CpuidModel, cpuidEntries, type DynamicBits } from '@nest86/machine';

/** A processor as programs find it under an operating system that uses all it has. */
export function seenFrom(model: CpuidModel, processor: number): DynamicBits {
  return {
    apicId: model.topology.apicId(processor),
    osxsave: model.has('xsave'),
    ospke: model.has('pku'),
    xcr0: model.xcr0Mask,
    xss: model.xssMask,
  };
}

/** All leaves of all processors in the form of `cpuid -r`. */
export function rawListing(model: CpuidModel): string {
  let text = '';
  const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
  for (let processor = 0; processor < model.topology.processors; processor++) {
    text += `CPU ${processor}:\n`;
    for (const [leaf, subleaf, ...words] of cpuidEntries(model, seenFrom(model, processor))) {
      const [eax, ebx, ecx, edx] = words.map((word) => hex(word, 8));
      text += `   ${hex(leaf, 8)} ${hex(subleaf, 2)}: eax=${eax} ebx=${ebx} ecx=${ecx} edx=${edx}\n`;
    }
  }
  return text;
}
