// Answers questions as VS Code does: what it completes, what it shows under the pointer, what it marks.
// The places are where `|` stands in a text.
const { readFileSync } = require("node:fs");
const { getLanguageService, TextDocument } = require("vscode-json-languageservice");

async function answer({ schema, text, want }) {
  const at = text.indexOf("|");
  const source = at < 0 ? text : text.slice(0, at) + text.slice(at + 1);
  const service = getLanguageService({});
  const known = { uri: "file:///schema.json", fileMatch: ["*"], schema: JSON.parse(readFileSync(schema, "utf8")) };
  service.configure({ validate: true, schemas: [known] });
  const document = TextDocument.create("file:///document.json", "json", 1, source);
  const tree = service.parseJSONDocument(document);
  const place = document.positionAt(Math.max(at, 0));
  if (want === "completion") {
    const list = await service.doComplete(document, place, tree);
    return list.items.map((item) => item.label);
  }
  if (want === "hover") {
    const hover = await service.doHover(document, place, tree);
    return hover ? [].concat(hover.contents).map((part) => part.value ?? part) : [];
  }
  const marks = await service.doValidation(document, tree);
  return marks.map((mark) => `${document.getText(mark.range)} ${mark.message}`).sort();
}

(async () => {
  const answers = [];
  for (const question of JSON.parse(readFileSync(process.argv[2], "utf8"))) answers.push(await answer(question));
  console.log(JSON.stringify(answers));
})();
