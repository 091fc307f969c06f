export { Interpreter, type RunEnd, type Translation } from './engine/interpreter.ts';
