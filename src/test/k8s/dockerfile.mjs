// Reads a Dockerfile, {"text"} on standard input: what a linter has against it, and its stages with their instructions.
import { readFileSync } from 'node:fs';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';

const { text } = JSON.parse(readFileSync(0, 'utf8'));
const stages = [];
for (const instruction of DockerfileParser.parse(text).getInstructions()) {
  const keyword = instruction.getKeyword();
  const words = instruction.getArguments().map((word) => word.getValue());
  if (keyword === 'FROM') stages.push([]);
  stages.at(-1)?.push({ keyword, words, flags: (instruction.getFlags?.() ?? []).map((flag) => flag.toString()) });
}
const problems = validate(text).map(({ range, message }) => `line ${range.start.line + 1}: ${message}`);
process.stdout.write(JSON.stringify({ problems, stages }));
