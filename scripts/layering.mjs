// The rule of arrows: a package imports from floors below its own and from nowhere else (docs/architecture.md).
// Looks at what the manifests declare and at every import in the sources.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import ts from 'typescript';
import { root, workspacePackages } from './lib/workspace.mjs';

// Lowest floor first; a package is named by its folder. A new package gets its place here.
const floors = [
  ['wasm', 'decoder'],
  ['mmu', 'cpuid', 'apic'],
  ['cpu', 'devices', 'paravirt'],
  ['vmx', 'svm'],
  ['machine'],
  ['cli', 'web'],
];

const floorOf = new Map(floors.flatMap((names, floor) => names.map((name) => [name, floor])));
const packages = workspacePackages().map((pkg) => ({ ...pkg, folder: pkg.relative.split('/')[1] }));
const folderOf = new Map(packages.map(({ manifest, folder }) => [manifest.name, folder]));
const problems = [];

/** The workspace package that an import specifier names, if it names one. */
const packageNamed = (specifier) =>
  folderOf.get(
    specifier
      .split('/')
      .slice(0, specifier.startsWith('@') ? 2 : 1)
      .join('/'),
  );

function checkArrow(from, to, where) {
  if (to === from || to === undefined) return;
  if (!(floorOf.get(to) < floorOf.get(from)))
    problems.push(`${where}: ${from} may not use ${to}, which is not below it`);
}

function* sourceFiles(dir) {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (['node_modules', 'dist', 'coverage', 'fixtures'].includes(entry.name)) continue;
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* sourceFiles(path);
    else if (/\.[cm]?[jt]sx?$/.test(entry.name)) yield path;
  }
}

let files = 0;
for (const { dir, folder, manifest } of packages) {
  if (!floorOf.has(folder))
    problems.push(`${folder}: not on any floor; give it a place in scripts/layering.mjs`);

  for (const kind of ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies'])
    for (const name of Object.keys(manifest[kind] ?? {}))
      checkArrow(folder, packageNamed(name), `${relative(root, dir)}/package.json, ${kind}`);

  for (const path of sourceFiles(dir)) {
    files++;
    const where = relative(root, path);
    for (const { fileName: specifier } of ts.preProcessFile(readFileSync(path, 'utf8'), true, true)
      .importedFiles) {
      if (!specifier.startsWith('.')) checkArrow(folder, packageNamed(specifier), where);
      // How a package is built may be shared; it is not part of the package.
      else if (where.endsWith('tsup.config.ts')) continue;
      else if (!resolve(dirname(path), specifier).startsWith(dir + sep))
        problems.push(`${where}: '${specifier}' leaves the package; import the other package by its name`);
    }
  }
}

// Arrows that only go down cannot form a cycle, so there is no second check for cycles.
for (const problem of problems) console.error(problem);
console.log(`${packages.length} packages, ${files} files, ${problems.length} wrong arrows`);
process.exitCode = problems.length > 0 || files === 0 ? 1 : 0;
