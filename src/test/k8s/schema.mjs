// Holds manifests against the schemas of their kinds. Standard input: [{"name", "object"}, ...]; standard output: what is
// wrong, as a list of sentences. The TypeScript compiler finds fields that nobody knows, of wrong types and missing, at
// any depth; the validators that come with the types find wrong formats, patterns and ranges.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const packages = {
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
};
const ours = ['inference.networking.k8s.io', 'inference.networking.x-k8s.io'];

const manifests = JSON.parse(readFileSync(0, 'utf8'));
const problems = [];
const imports = [];
const constants = [];

for (const { name, object } of manifests) {
  const { apiVersion, kind } = object;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') {
    problems.push(`${name}: it has no apiVersion and kind`);
    continue;
  }
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
  const module = ours.includes(group)
    ? './inference'
    : `${packages[group] ?? 'kubernetes-models'}/${apiVersion}/${kind}`;
  const type = `Kind${constants.length}`;
  imports.push(`import { I${kind} as ${type} } from ${JSON.stringify(module)};`);
  constants.push({ name, kind, module, object, text: `export const m${constants.length}: ${type} = ` });
}

compile();
for (const { name, kind, module, object } of constants) {
  if (module !== './inference') {
    await validate(name, kind, module, object);
  }
}
process.stdout.write(JSON.stringify(problems));

/** One virtual file, with a constant of its type for every manifest. */
function compile() {
  const file = join(here, 'manifests.ts');
  let line = imports.length;
  let source = imports.join('\n') + '\n';
  const starts = [];
  for (const constant of constants) {
    starts.push(line);
    const text = constant.text + JSON.stringify(constant.object, null, 1) + ';\n';
    source += text;
    line += text.split('\n').length - 1;
  }
  const options = {
    strict: true, noEmit: true, skipLibCheck: true, types: [],
    target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (path) => path === file || fileExists(path);
  host.readFile = (path) => (path === file ? source : readFile(path));
  host.getSourceFile = (path, version) =>
    path === file ? ts.createSourceFile(path, source, version) : getSourceFile.call(host, path, version);
  const program = ts.createProgram([file], options, host);
  for (const diagnostic of ts.getPreEmitDiagnostics(program)) {
    const where = diagnostic.file?.fileName === file
      ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line : -1;
    const index = where < imports.length ? where : starts.findLastIndex((start) => start <= where);
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, ' ');
    problems.push(`${constants[index]?.name ?? 'the types themselves'}: ${message}`);
  }
}

async function validate(name, kind, module, object) {
  const { [kind]: Kind } = await import(module).catch(() => ({}));
  if (Kind === undefined) {
    return; // The compiler has said so.
  }
  try {
    new Kind(object).validate();
  } catch (error) {
    problems.push(`${name}: ${error.message}`);
  }
}
