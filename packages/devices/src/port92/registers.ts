/** Bits of port 92h (PS/2 system control port A). */
export const Port92Bits = { fastReset: 0x01, a20: 0x02 } as const;
