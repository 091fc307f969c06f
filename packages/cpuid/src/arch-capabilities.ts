/** Bits of IA32_ARCH_CAPABILITIES (SDM vol. 4, table 2-2), low half and high half. */
const bits: Readonly<Record<string, number>> = {
  'rdcl-no': 0,
  'ibrs-all': 1,
  'skip-l1dfl-vmentry': 3,
  'ssb-no': 4,
  'mds-no': 5,
  'if-pschange-mc-no': 6,
  'taa-no': 8,
  'sbdr-ssdp-no': 13,
  'fbsdp-no': 14,
  'psdp-no': 15,
  'fb-clear': 17,
  'bhi-no': 20,
  'pbrsb-no': 24,
  'gds-no': 26,
  'rfds-no': 27,
  'its-no': 62,
};

/** The register's halves with the bits of these names, separated by spaces. */
export function archCapabilities(names: string): readonly [low: number, high: number] {
  let low = 0;
  let high = 0;
  for (const name of names.split(' ')) {
    const bit = bits[name];
    if (bit < 32) low |= 1 << bit;
    else high |= 1 << (bit - 32);
  }
  return [low, high];
}
