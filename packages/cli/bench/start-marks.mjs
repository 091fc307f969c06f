// For `node --import`, see footprint.mjs: notes when the command makes the engine's memory, when its core is instantiated, and when the handlers of the
// first block are; what follows is the first instruction. The last line of stderr has it: [processor time, clock] in ms.
import { writeSync } from 'node:fs';

const marks = {};
const mark = (name) => {
  const { user, system } = process.cpuUsage();
  marks[name] ??= [(user + system) / 1000, performance.now()];
};
const { Memory, Instance } = WebAssembly;
WebAssembly.Memory = class extends Memory {
  constructor(...words) {
    mark('loaded');
    super(...words);
  }
};
WebAssembly.Instance = class extends Instance {
  constructor(...words) {
    super(...words);
    mark(marks.made === undefined ? 'made' : 'ready');
  }
};
process.on('exit', () => writeSync(2, `\n${JSON.stringify(marks)}`));
