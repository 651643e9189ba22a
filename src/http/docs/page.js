// Shows what /openapi.json says. Everything is put in as text: nothing of the description becomes markup.

const METHODS = ['get', 'post', 'delete'];
const routes = document.getElementById('routes');
const state = document.getElementById('state');

function element(name, text = '', className = '') {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** A paragraph, with code where the text has it between backticks. */
function paragraph(text, className = '') {
  const made = element('p', '', className);
  text.split('`').forEach((part, index) => {
    made.append(index % 2 === 1 ? element('code', part) : part);
  });
  return made;
}

/** The schema itself, and of those with `null` beside it the one that is not `null`. */
function resolve(api, schema) {
  if (schema.$ref) {
    return resolve(api, api.components.schemas[schema.$ref.split('/').pop()]);
  }
  const others = schema.oneOf?.filter((one) => one.type !== 'null');
  return others?.length === 1 ? { ...resolve(api, others[0]), description: schema.description } : schema;
}

function typeOf(api, schema) {
  const found = resolve(api, schema);
  if (found.oneOf) return found.oneOf.map((one) => typeOf(api, one)).join(' or ');
  const types = [found.type ?? 'anything'].flat().filter((type) => type !== 'null');
  if (types.includes('array')) return `list of ${typeOf(api, found.items)}`;
  return found.format === 'date-time' ? 'time (ISO 8601)' : types.join(' or ');
}

/** A line for each member, with the members of those that are objects beneath it. */
function members(api, schema) {
  const found = resolve(api, schema);
  const list = element('ul');
  for (const one of found.oneOf ?? []) list.append(...members(api, one).children);
  for (const [name, member] of Object.entries(found.properties ?? {})) {
    list.append(line(api, name, member, found.required?.includes(name)));
  }
  if (found.items) list.append(...members(api, found.items).children);
  return list;
}

function line(api, name, schema, isRequired, where = '') {
  const item = element('li');
  const type = `${typeOf(api, schema)}${where}${isRequired ? '' : ', may be left out'}`;
  item.append(element('code', name), element('span', ` ${type}`, 'quiet'));
  const description = schema.description ?? resolve(api, schema).description;
  if (description) item.append(paragraph(description));
  const beneath = members(api, schema);
  if (beneath.children.length > 0) item.append(beneath);
  return item;
}

function section(title, content) {
  return content.children.length > 0 ? [element('h3', title), content] : [];
}

function parameters(api, operation) {
  const list = element('ul');
  for (const it of operation.parameters ?? []) {
    const schema = { ...it.schema, description: it.description };
    list.append(line(api, it.name, schema, it.required, ` in the ${it.in}`));
  }
  return list;
}

function shown(api, path, method, operation) {
  const details = element('details');
  const summary = element('summary');
  const name = element('code', '', 'route');
  name.append(element('span', method.toUpperCase(), 'method'), ` ${path}`);
  summary.append(name, paragraph(operation.summary ?? ''));
  const inside = element('div', '', 'inside');
  if (operation.description) inside.append(paragraph(operation.description));
  inside.append(...section('Parameters', parameters(api, operation)));
  const body = operation.requestBody?.content['application/json'];
  if (body) inside.append(...section('Body', members(api, body.schema)));
  for (const [status, response] of Object.entries(operation.responses)) {
    const schema = response.content?.['application/json']?.schema;
    const title = `${status === 'default' ? 'Otherwise' : status}: ${response.description}`;
    inside.append(element('h3', title));
    if (schema) inside.append(members(api, schema));
  }
  details.append(summary, inside);
  return details;
}

function show(api) {
  document.getElementById('about').textContent = `Version ${api.info.version}. ${api.info.description}`;
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, operation: item[method] })),
  );
  for (const tag of api.tags) {
    routes.append(element('h2', tag.name), paragraph(tag.description, 'quiet'));
    for (const { path, method, operation } of operations) {
      if (operation.tags?.includes(tag.name)) routes.append(shown(api, path, method, operation));
    }
  }
  state.remove();
}

try {
  const answer = await fetch('/openapi.json');
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  show(await answer.json());
} catch (error) {
  state.textContent = `The description could not be read: ${error.message}`;
}
routes.setAttribute('aria-busy', 'false');
