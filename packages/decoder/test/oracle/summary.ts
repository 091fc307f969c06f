import { type Register, RegisterClass, registerName } from '../../src/index.ts';
import { Access, fullRegister, type InstructionInfo } from '../../src/info/index.ts';

const accessText = (access: number): string =>
  ((access & Access.anyRead) !== 0 ? 'r' : '') + ((access & Access.anyWrite) !== 0 ? 'w' : '');

/** What an instruction uses, as coarse as other disassemblers tell it: whole registers, no segments, no conditions. */
export function summary(info: InstructionInfo): string {
  const registers = new Map<Register, number>();
  for (let i = 0; i < info.registerCount; i++) {
    const register = fullRegister(info.registers[i]);
    if (register >> 5 === RegisterClass.segment) continue;
    registers.set(register, (registers.get(register) ?? 0) | info.registerAccess[i]);
  }
  const memory = Array.from(
    { length: info.memoryCount },
    (_, i) => `${accessText(info.memoryAccess[i])}${info.memorySize[i]}`,
  );
  const flags = (mask: number): string =>
    [...'oszacpdiAu0123'].filter((_, bit) => (mask >> bit) & 1).join('');
  return [
    [...registers]
      .sort((a, b) => a[0] - b[0])
      .map(([register, access]) => `${registerName(register)}:${accessText(access)}`)
      .join(' '),
    memory.sort().join(' '),
    `r:${flags(info.flagsRead)} m:${flags(info.flagsWritten | info.flagsCleared | info.flagsSet)} u:${flags(info.flagsUndefined)}`,
  ].join(' | ');
}
