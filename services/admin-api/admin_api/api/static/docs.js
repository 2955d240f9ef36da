// Renders /openapi.json. All that comes from outside becomes text, never HTML.

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const schemaName = (reference) => reference.split("/").pop();

/** A schema in a few words, with a link where it has a name. */
const describe = (schema) => {
  if (schema.$ref) {
    const name = schemaName(schema.$ref);
    return element("a", { href: `#schema-${name}` }, name);
  }
  if (schema.anyOf) return element("span", {}, ...separated(schema.anyOf.map(describe), " or "));
  if (schema.enum) return element("span", {}, schema.enum.map((each) => JSON.stringify(each)).join(" | "));
  if (schema.const !== undefined) return element("span", {}, JSON.stringify(schema.const));
  if (schema.type === "array") return element("span", {}, "list of ", describe(schema.items ?? {}));
  return element("span", {}, [schema.type ?? "anything", schema.format && `(${schema.format})`].filter(Boolean).join(" "));
};

const separated = (nodes, separator) => nodes.flatMap((node, index) => (index ? [separator, node] : [node]));

const limits = (schema) =>
  ["default", "minimum", "maximum", "exclusiveMaximum", "minLength", "maxLength", "pattern"]
    .filter((name) => schema[name] !== undefined)
    .map((name) => `${name} ${schema[name]}`)
    .join(", ");

const table = (caption, headings, rows) =>
  element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...headings.map((each) => element("th", { scope: "col" }, each)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((each) => element("td", {}, each))))),
  );

const parameters = (operation) =>
  table(
    "Parameters",
    ["Name", "In", "Type", "Meaning"],
    operation.parameters.map((each) => [
      each.required ? `${each.name} *` : each.name,
      each.in,
      describe(each.schema),
      [each.description, limits(each.schema)].filter(Boolean).join("; "),
    ]),
  );

/** What a body is: JSON, or a file of a type of its own. */
const bodyType = (operation) => Object.keys(operation.requestBody?.content ?? {})[0];

const sent = (operation) => {
  const type = bodyType(operation);
  const { schema } = operation.requestBody.content[type];
  if (!schema.properties) {
    return table("Body", ["Type", "Meaning"], [[type, schema.description ?? operation.requestBody.description ?? ""]]);
  }
  const required = schema.required ?? [];
  return table(
    "Body",
    ["Name", "Type", "Meaning"],
    Object.entries(schema.properties).map(([name, schema]) => [
      required.includes(name) ? `${name} *` : name,
      describe(schema),
      [schema.description, limits(schema)].filter(Boolean).join("; "),
    ]),
  );
};

const responses = (operation, shared) =>
  table(
    "Answers",
    ["Status", "Meaning", "Content"],
    Object.entries(operation.responses).map(([status, given]) => {
      const answer = given.$ref ? shared[schemaName(given.$ref)] : given;
      const [content] = Object.values(answer.content ?? {});
      return [status, answer.description, describe(content?.schema ?? {})];
    }),
  );

/** A form that sends the request and shows the answer. */
const trial = (method, path, operation) => {
  const inputs = operation.parameters.map((each) => ({ ...each, input: element("input", { name: each.name }) }));
  const type = bodyType(operation);
  const empty = type === "application/json" ? "{}" : "";
  const body = type && element("textarea", { name: "body", rows: "8", spellcheck: "false" }, empty);
  const output = element("pre", { tabindex: "0", hidden: "" });
  const form = element(
    "form",
    {},
    ...inputs.map(({ name, input }) => element("label", {}, `${name} `, input)),
    ...(body ? [element("label", {}, "body ", body)] : []),
    element("button", {}, method === "get" ? "Ask" : "Send"),
    output,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = "Waiting for the answer.";
    output.textContent = await answerTo(method, path, inputs, body, type);
  });
  return form;
};

// The path below which this is served: "/" or "/desk/".
const ROOT = new URL("..", import.meta.url).pathname;

const answerTo = async (method, path, inputs, body, type) => {
  const query = new URLSearchParams();
  const headers = { Authorization: `Bearer ${document.getElementById("token").value}` };
  let address = ROOT + path.slice(1);
  for (const { name, in: place, input } of inputs) {
    if (place === "path") address = address.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value === "") continue;
    else if (place === "header") headers[name] = input.value;
    else query.set(name, input.value);
  }
  try {
    if (body) headers["Content-Type"] = type;
    const request = { method: method.toUpperCase(), headers, body: body?.value };
    const answer = await fetch(query.size ? `${address}?${query}` : address, request);
    const text = await answer.text();
    return `${answer.status} ${answer.statusText}\n${pretty(text)}`;
  } catch (error) {
    return `No answer: ${error.message}`;
  }
};

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

const operationBlock = (path, method, operation, shared) =>
  element(
    "details",
    { id: operation.operationId },
    element("summary", {}, element("code", { class: method }, method.toUpperCase()), ` ${path} `, operation.summary),
    parameters(operation),
    ...(operation.requestBody ? [sent(operation)] : []),
    responses(operation, shared),
    trial(method, path, operation),
  );

const schemaBlock = (name, schema) =>
  element(
    "details",
    { id: `schema-${name}` },
    element("summary", {}, element("code", {}, name), ` ${schema.description ?? ""}`),
    schema.properties
      ? table(
          "Members",
          ["Name", "Type", "Meaning"],
          Object.entries(schema.properties).map(([member, each]) => [member, describe(each), each.description ?? ""]),
        )
      : describe(schema),
  );

const openTarget = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
};

const render = (api) => {
  document.getElementById("title").textContent = `${api.info.title} ${api.info.version}`;
  document.getElementById("about").textContent = api.info.description;
  const operations = document.getElementById("operations");
  const sections = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const [tag] = operation.tags;
      if (!sections.has(tag)) sections.set(tag, element("section", {}, element("h2", {}, tag)));
      sections.get(tag).append(operationBlock(path, method, operation, api.components.responses));
    }
  }
  operations.append(...sections.values());
  const schemas = Object.entries(api.components.schemas).sort(([one], [other]) => one.localeCompare(other));
  document.getElementById("schemas").append(...schemas.map(([name, schema]) => schemaBlock(name, schema)));
  openTarget();
};

addEventListener("hashchange", openTarget);
try {
  const answer = await fetch(new URL("../openapi.json", import.meta.url));
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  render(await answer.json());
} catch (error) {
  document.getElementById("about").textContent = `The description of the API could not be loaded: ${error.message}.`;
}
