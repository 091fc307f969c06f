/** Four entries of the PAT: each UC, WC, WT, WP, WB or UC- (SDM vol. 3, table 12-10). */
export function isPat(half: number): boolean {
  for (let shift = 0; shift < 32; shift += 8) {
    const type = (half >>> shift) & 0xff;
    if (type > 7 || type === 2 || type === 3) return false;
  }
  return true;
}
