import type { RegisterEntry } from './register-table.ts';

/** Names of bits, from bit 0 on; empty: none. A number skips so many. */
type BitNames = readonly (string | number)[];

const eflags: BitNames = [
  ...['CF', '', 'PF', '', 'AF', '', 'ZF', 'SF', 'TF', 'IF', 'DF', 'OF', 2, 'NT', '', 'RF', 'VM', 'AC'],
  ...['VIF', 'VIP', 'ID'],
];
const cr0: BitNames = ['PE', 'MP', 'EM', 'TS', 'ET', 'NE', 10, 'WP', '', 'AM', 10, 'NW', 'CD', 'PG'];
const cr4: BitNames = [
  ...['VME', 'PVI', 'TSD', 'DE', 'PSE', 'PAE', 'MCE', 'PGE', 'PCE', 'OSFXSR', 'OSXMMEXCPT', 'UMIP', 'LA57'],
  ...['VMXE', 'SMXE', '', 'FSGSBASE', 'PCIDE', 'OSXSAVE', 'KL', 'SMEP', 'SMAP', 'PKE', 'CET', 'PKS'],
];
const efer: BitNames = ['SCE', 7, 'LME', '', 'LMA', 'NXE', 'SVME', '', 'FFXSR'];
const mxcsr: BitNames = [
  ...['IE', 'DE', 'ZE', 'OE', 'UE', 'PE', 'DAZ', 'IM', 'DM', 'ZM', 'OM', 'UM', 'PM', 2, 'FZ'],
];

/** Types of registers that gdb does not know by itself, by the feature that comes first in need of them. */
const types: Readonly<Record<string, readonly string[]>> = {
  'org.gnu.gdb.i386.core': [flagsType('x86_eflags', 4, eflags)],
  'org.gnu.gdb.i386.sse': [
    vectorType('v4f', 'ieee_single', 4),
    vectorType('v2d', 'ieee_double', 2),
    vectorType('v16i8', 'int8', 16),
    vectorType('v8i16', 'int16', 8),
    vectorType('v4i32', 'int32', 4),
    vectorType('v2i64', 'int64', 2),
    [
      '<union id="vec128">',
      ...Object.entries({
        v4_float: 'v4f',
        v2_double: 'v2d',
        v16_int8: 'v16i8',
        v8_int16: 'v8i16',
        v4_int32: 'v4i32',
        v2_int64: 'v2i64',
        uint128: 'uint128',
      }).map(([name, type]) => `<field name="${name}" type="${type}"/>`),
      '</union>',
    ].join(''),
    flagsType('x86_mxcsr', 4, mxcsr),
  ],
  'org.nest86.control': [
    flagsType('x86_cr0', 8, cr0),
    flagsType('x86_cr4', 8, cr4),
    flagsType('x86_efer', 8, efer),
  ],
};

/** The target description (gdb manual, G): registers get their numbers in this order. */
export function targetDescription(registers: readonly RegisterEntry[]): string {
  const lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">', '<target>'];
  lines.push('<architecture>i386:x86-64</architecture>');
  for (const feature of new Set(registers.map((register) => register.feature))) {
    lines.push(`<feature name="${feature}">`, ...(types[feature] ?? []));
    for (const register of registers)
      if (register.feature === feature)
        lines.push(`<reg name="${register.name}" bitsize="${register.bits}" type="${register.type}"/>`);
    lines.push('</feature>');
  }
  lines.push('</target>');
  return lines.join('\n');
}

function flagsType(id: string, bytes: number, names: BitNames): string {
  let bit = 0;
  let text = `<flags id="${id}" size="${bytes}">`;
  for (const name of names) {
    if (typeof name === 'number') {
      bit += name;
      continue;
    }
    if (name !== '') text += `<field name="${name}" start="${bit}" end="${bit}"/>`;
    bit++;
  }
  return `${text}</flags>`;
}

function vectorType(id: string, type: string, count: number): string {
  return `<vector id="${id}" type="${type}" count="${count}"/>`;
}
