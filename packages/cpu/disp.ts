import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);
import { BareProcessor } from '/work/main/packages/cpu/test/bare-processor.ts';
function build(blocks: number) {
  const size = 64; const base = 0x100000;
  const order = Array.from({length: blocks}, (_, i) => i);
  let s = 12345; const rnd = () => (s = (s * 1103515245 + 12345) & 0x7fffffff);
  for (let i = blocks - 1; i > 0; i--) { const j = rnd() % (i + 1); [order[i], order[j]] = [order[j], order[i]]; }
  const code = new Uint8Array(blocks * size);
  const next = new Array(blocks);
  for (let i = 0; i < blocks; i++) next[order[i]] = order[(i + 1) % blocks];
  for (let b = 0; b < blocks; b++) {
    const bytes: number[] = [];
    for (let k = 0; k < 7; k++) {
      const c = rnd() >> 8; 
      switch (c % 5) {
        case 0: bytes.push(0x48, 0x01, 0xc0 | ((c >> 4) & 3) << 3 | (c >> 7) % 4); break; // add
        case 1: bytes.push(0x48, 0x31, 0xc0 | ((c >> 4) & 3) << 3 | (c >> 7) % 4); break;
        case 2: bytes.push(0x48, 0x8b, 0x46 | ((c >> 4) & 3) << 3, (c >> 8) & 0x78); break; // mov r,[rsi+d]
        case 3: bytes.push(0x48, 0x89, 0x46 | ((c >> 4) & 3) << 3, (c >> 8) & 0x78); break;
        case 4: bytes.push(0x83, 0xc0 | (c >> 4) & 3, (c >> 8) & 0x7f); break;
      }
    }
    if (b%2) { bytes.push(0x48,0x85,0xc0, 0x75, 0x00); } // test rax,rax; jnz +0
    const at = b * size; const rel = (next[b] * size) - (at + bytes.length + 5);
    bytes.push(0xe9, rel & 255, (rel >> 8) & 255, (rel >> 16) & 255, (rel >> 24) & 255);
    code.set(bytes, at);
  }
  return { code, base };
}
for (const blocks of [1000]) for (const accel of ["jit"] as const) {
  const cpu = new BareProcessor({ accel, ramSize: 64 << 20, recordBytes: 24 << 20 });
  const { code, base } = build(blocks);
  cpu.ram.set(code, base); cpu.setRegister(6, 0x5000n); cpu.rip = base;
  const p = cpu.processor; const h = cpu.engine.handlers as any; let tm=0, bytes=0, n=0; const inst=h.install.bind(h); h.install=(m:any,l:any)=>{const t=performance.now(); const r=inst(m,l); tm+=performance.now()-t; bytes+=m.length; n++; if(n===5) require('fs').writeFileSync('/tmp/lab/region.wasm', m); return r;}; const rc = cpu.engine.regions as any; let tb=0; const bd=rc.compile.bind(rc); rc.compile=(a:any,b:any)=>{const t=performance.now(); bd(a,b); tb+=performance.now()-t;};
  const step = (n: number) => { const t = process.cpuUsage(); const w = performance.now(); p.run(n); const u = process.cpuUsage(t); return (n / (u.user+u.system)).toFixed(0) + ' (wall ' + (n / (performance.now()-w)/1000).toFixed(0) + ')'; };
  const out = [step(blocks*12), step(40e6)];
  const more = accel === 'jit' ? 100e6 : 40e6;
  out.push(step(more), step(more), step(more));
  console.log('install ms', tm/n, 'total compile()', tb/n, 'bytes', bytes/n); console.log(blocks, accel, out.join(' | '), [...p.exits].join(), cpu.engine.regions.compiled, cpu.engine.code.translated, p.problem);
}
