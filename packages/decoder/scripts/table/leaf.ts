/*
 * What the decoder must know of an encoding once the tree has found it. decode.ts reads these bits by the same positions
 * (src/leaf.ts declares them for both).
 */
import { Check, Leaf } from '../../src/leaf.ts';
import { RegisterClass } from '../../src/registers.ts';
import { immediateLayouts, type Placement } from './opcode.ts';
import { type MemoryTypes, operandSpecs, places, writtenTokens } from './operands.ts';
import type { EncodingRecord } from './record.ts';

export function leafBits(record: EncodingRecord, placement: Placement, types: MemoryTypes): number {
  const has = (name: string) => record.attributes.has(name);
  const tokens = writtenTokens(record);
  const specs = operandSpecs(record, types);
  const decorated = (name: string) => record.operandTokens.some((token) => token.decorations.includes(name));
  const attribute = (pattern: RegExp): number => {
    for (const word of record.attributes) {
      const match = pattern.exec(word);
      if (match !== null) return Number(match[1]);
    }
    return 0;
  };

  let bits = immediateLayouts.indexOf(placement.immediate);
  if (placement.hasModrm) bits |= Leaf.modrm;
  if (has('lock')) bits |= Leaf.lock;
  bits |= Math.max(0, ...specs.map((spec) => spec.vectorIndex)) << Leaf.vectorIndexShift;
  bits |= Math.log2(attribute(/^N(\d+)$/) || 1) << Leaf.disp8Shift;
  bits |= Math.log2(attribute(/^b(\d+)$/) || 1) << Leaf.broadcastShift;
  if (specs.some((spec) => spec.place === places.indexOf('vvvv')) || decorated('dfv')) bits |= Leaf.vvvv;
  if (decorated('k1') || decorated('k2')) bits |= Leaf.opmask;
  if (has('k-required')) bits |= Leaf.opmaskRequired;
  if (decorated('z')) bits |= Leaf.zeroing;
  if (decorated('sae')) bits |= Leaf.sae;
  if (decorated('er')) bits |= Leaf.rounding;
  if (has('nf')) bits |= Leaf.noFlags;
  if (record.features.includes('MPX')) bits |= Leaf.address64;
  if (placement.space === 'evex' && record.features.includes('APX_F')) bits |= Leaf.apxPayload;
  if (decorated('dfv')) bits |= Leaf.conditional;
  if (has('any-mod')) bits |= Leaf.anyMod;
  if (placement.operandSize === 64) bits |= Leaf.operandSize64;
  if (tokens[0] !== undefined && specs[0].place === places.indexOf('rm') && /\/?m\d/.test(tokens[0].text))
    bits |= Leaf.memoryFirst;
  return bits >>> 0;
}

export function checkBits(record: EncodingRecord, placement: Placement, types: MemoryTypes): number {
  // Only EVEX has bits for more than 16 general registers without APX.
  const isEvex = placement.space === 'evex';
  const has = (name: string) => record.attributes.has(name);
  const specs = operandSpecs(record, types);
  let bits = 0;
  for (const [i, spec] of specs.entries()) {
    const place = places[spec.place];
    const limited = spec.registerClass === RegisterClass.mask || spec.registerClass === RegisterClass.tile;
    const isGpr = spec.registerClass >= RegisterClass.gpr8 && spec.registerClass <= RegisterClass.gpr64;
    if (place === 'reg') {
      if (limited) bits |= Check.regBelow8;
      if (isGpr && isEvex) bits |= Check.regGpr;
      if (spec.registerClass === RegisterClass.segment)
        bits |= i === 0 && record.mnemonic === 'MOV' ? Check.regSegmentWritten : Check.regSegment;
      if (spec.registerClass === RegisterClass.control) bits |= Check.regControl;
      if (spec.registerClass === RegisterClass.debug) bits |= Check.regDebug;
      if (spec.registerClass === RegisterClass.test) bits |= Check.regTest;
      if (spec.registerClass === RegisterClass.bound) bits |= Check.regBound;
    } else if (place === 'rm') {
      if (spec.registerClass === RegisterClass.bound) bits |= Check.rmBound;
      if (spec.registerClass === RegisterClass.tile) bits |= Check.rmBelow8;
    } else if (place === 'vvvv') {
      if (limited) bits |= Check.vvvvBelow8;
      if (isGpr && isEvex) bits |= Check.vvvvGpr;
    }
    const token = record.operandTokens[i]?.text ?? '';
    if (/^(sibmem|mib)/.test(token))
      bits |= token.startsWith('sibmem') ? Check.sibRequired : Check.noRipRelative;
    if (/^vm/.test(token)) bits |= Check.sibRequired;
  }
  if (record.features.includes('MPX')) bits |= Check.no16BitAddress;
  if (record.mnemonic === 'BNDMK') bits |= Check.noRipRelative;
  if (has('distinct')) bits |= Check.distinct;
  if (has('distinct-dest')) bits |= Check.distinctDestination;
  if (has('no66')) bits |= Check.no66;
  if (has('a32-only')) bits |= Check.address32Only;
  if (has('no-rex2')) bits |= Check.noRex2;
  if (has('no-rsp')) bits |= Check.noRsp;
  if (has('no67')) bits |= Check.no67;
  if (has('no-r')) bits |= Check.noR;
  if (has('amd-lock-cr8')) bits |= Check.lockIsRegisterBit;
  return bits;
}
