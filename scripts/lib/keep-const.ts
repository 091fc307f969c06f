import type { Options } from 'tsup';
import ts from 'typescript';

type Plugin = NonNullable<Options['plugins']>[number];

/**
 * esbuild makes every top-level `const` of a bundle a `var`. V8 takes the value of a `const` for granted when it optimises (a number becomes an
 * operand, a typed array a fixed address) and loads a `var` each time, with checks. This plugin turns those back that are never assigned again.
 */
export const keepConst: Plugin = {
  name: 'keep-const',
  renderChunk(code, { path }) {
    if (!/\.m?js$/.test(path)) return;
    return { code: withConst(code) };
  },
};

function withConst(code: string): string {
  const source = ts.createSourceFile('chunk.js', code, ts.ScriptTarget.Latest, true, ts.ScriptKind.JS);
  const assigned = assignedNames(source);
  let result = '';
  let copied = 0;
  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    const list = statement.declarationList;
    if ((list.flags & ts.NodeFlags.BlockScoped) !== 0) continue;
    if (!list.declarations.every(({ initializer }) => initializer !== undefined)) continue;
    if (list.declarations.some(({ name }) => boundNames(name).some((bound) => assigned.has(bound)))) continue;
    const start = list.getStart(source);
    result += `${code.slice(copied, start)}const`;
    copied = start + 'var'.length;
  }
  return result + code.slice(copied);
}

function boundNames(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((element) => (ts.isBindingElement(element) ? boundNames(element.name) : []));
}

/** Names that anything in the file assigns to or declares twice, in whatever scope. */
function assignedNames(source: ts.SourceFile): Set<string> {
  const declared = new Set<string>();
  const names = new Set<string>();
  const addTargets = (target: ts.Node): void => {
    if (ts.isIdentifier(target)) names.add(target.text);
    // The object of `object.name = …` stays what it is.
    else if (!ts.isPropertyAccessExpression(target) && !ts.isElementAccessExpression(target))
      ts.forEachChild(target, addTargets);
  };
  const visit = (node: ts.Node): void => {
    if (ts.isBinaryExpression(node)) {
      const operator = node.operatorToken.kind;
      if (operator >= ts.SyntaxKind.FirstAssignment && operator <= ts.SyntaxKind.LastAssignment)
        addTargets(node.left);
    } else if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) {
      if (node.operator === ts.SyntaxKind.PlusPlusToken || node.operator === ts.SyntaxKind.MinusMinusToken)
        addTargets(node.operand);
    } else if (ts.isForInStatement(node) || ts.isForOfStatement(node)) {
      if (!ts.isVariableDeclarationList(node.initializer)) addTargets(node.initializer);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name } of statement.declarationList.declarations)
      for (const bound of boundNames(name)) {
        if (declared.has(bound)) names.add(bound);
        declared.add(bound);
      }
  }
  return names;
}
