import type {
  Callee,
  CodeWriter,
  Compiler,
  FunctionType,
  ModuleBuilder,
  Value,
  ValueType,
} from '@nest86/wasm';
import type { CallLibrary, LibraryFunction } from './function.ts';

/** The type that a library function has in WebAssembly. */
export function typeOfLibrary({ parameters, result }: LibraryFunction): FunctionType {
  return { parameters, results: result === undefined ? [] : [result] };
}

/**
 * Puts library functions into a module: each one that is called, and those that it calls. Modules define functions in the order in which
 * they were declared, so a caller declares itself, writes its body (which declares what it calls), is defined, and only then comes
 * {@link finish}; this may repeat. Parameters are values of variables, so a body that wants one inside a loop copies it before.
 */
export class LibraryBuilder {
  /** `call` for functions that are built beside the library. */
  readonly call: CallLibrary = (callee, args) => this.compiler.call(this.callee(callee), args);
  private readonly callees = new Map<string, { readonly of: LibraryFunction; readonly callee: Callee }>();
  private readonly declared: LibraryFunction[] = [];
  private defined = 0;

  /** @param code where `compiler` writes; both are used again for each function */
  constructor(
    private readonly module: ModuleBuilder,
    private readonly code: CodeWriter,
    private readonly compiler: Compiler,
  ) {}

  /** What {@link Compiler.call} wants; declares the function at its first use. */
  callee(wanted: LibraryFunction): Callee {
    const known = this.callees.get(wanted.name);
    if (known !== undefined) {
      if (known.of !== wanted) throw new Error(`two library functions are called "${wanted.name}"`);
      return known.callee;
    }
    const type = typeOfLibrary(wanted);
    const callee = { name: wanted.name, type, index: this.module.declareFunction(type, wanted.name) };
    this.callees.set(wanted.name, { of: wanted, callee });
    this.declared.push(wanted);
    return callee;
  }

  /** Defines what was declared so far, and what that calls. */
  finish(): void {
    while (this.defined < this.declared.length) this.define(this.declared[this.defined++]);
  }

  private define(wanted: LibraryFunction): void {
    const { code, compiler } = this;
    const { index, type } = this.callee(wanted);
    code.begin(type);
    compiler.begin();
    const variables = wanted.parameters.map((parameter: ValueType, i) => compiler.variable(parameter, i));
    const parameters: Value[] = variables.map((variable) => compiler.read(variable));
    const result = wanted.build(compiler, parameters, this.call);
    if ((result === undefined) !== (wanted.result === undefined)) {
      throw new Error(`library function "${wanted.name}" does not answer what its type says`);
    }
    if (result !== undefined) compiler.push(result);
    code.finish();
    this.module.define(index, code);
  }
}
