// Tarballs as npm would get them: what a user installs is what the checks look at.
import { join } from 'node:path';
import { pnpm, publishedPackages, readJson, run } from './workspace.mjs';

export function build() {
  const { ok, output } = pnpm(['exec', 'turbo', 'run', 'build', '--output-logs=errors-only'], {
    capture: true,
  });
  if (!ok) throw new Error(`the build failed:\n${output}`);
}

/** Builds and packs every published package into `dir`: `{ name, relative, dir, tarball, unpacked, manifest }`. */
export function packAll(dir) {
  build();
  return publishedPackages().map((pkg) => {
    const packed = pnpm(['pack', '--json', '--pack-destination', dir], { cwd: pkg.dir, capture: true });
    if (!packed.ok) throw new Error(`pnpm pack failed in ${pkg.relative}:\n${packed.output}`);
    const { name, version } = pkg.manifest;
    const base = `${name.replace('@', '').replace('/', '-')}-${version}`;
    const tarball = join(dir, `${base}.tgz`);
    const unpacked = join(dir, base);
    if (
      !run('mkdir', [unpacked]).ok ||
      !run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1']).ok
    )
      throw new Error(`cannot unpack ${tarball}`);
    return {
      name,
      relative: pkg.relative,
      dir: pkg.dir,
      tarball,
      unpacked,
      manifest: readJson(join(unpacked, 'package.json')),
    };
  });
}

/** A package and those of ours that it depends on, as `packAll` answered them: what npm installs with it. */
export function withDependencies(pkg, packed) {
  const closure = new Set([pkg]);
  for (const one of closure)
    for (const name of Object.keys(one.manifest.dependencies ?? {})) {
      const dependency = packed.find((other) => other.name === name);
      if (dependency !== undefined) closure.add(dependency);
    }
  return [...closure];
}
