// Renders templates with the reference. In: [{template, variables}]. Out: [{text} or {error}].
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";

const results = JSON.parse(readFileSync(0, "utf8")).map(({ template, variables }) => {
    try {
        return { text: new Template(template).render(variables) };
    } catch (error) {
        return { error: String(error.message ?? error) };
    }
});
process.stdout.write(JSON.stringify(results));
