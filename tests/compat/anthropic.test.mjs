// Anthropic's official TypeScript client against the gateway, with an upstream behind it that speaks only OpenAI's chat.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'

const baseURL = process.env.COMPAT_BASE_URL.replace(/\/v1$/, '')
const client = new Anthropic({ baseURL, apiKey: process.env.COMPAT_KEY, maxRetries: 0 })
const model = 'demo'
const max_tokens = 200
const asked = content => [{ role: 'user', content }]
const tools = [{
  name: 'add',
  input_schema: { type: 'object', required: ['a', 'b'], properties: { a: { type: 'integer' }, b: { type: 'integer' } } },
}]

test('a message is answered', async () => {
  const said = await client.messages.create({ model, max_tokens, system: 'Be brief.', messages: asked('Hello!') })
  assert.match(said.content[0].text, /demo/)
  assert.equal(said.stop_reason, 'end_turn')
  assert.ok(said.usage.output_tokens > 5)
  assert.ok(said._request_id)
})

test('a message is streamed', async () => {
  const stream = client.messages.stream({ model, max_tokens, messages: asked('Hello!') })
  let text = ''
  stream.on('text', piece => { text += piece })
  const last = await stream.finalMessage()
  assert.equal(last.content[0].text, text)
  assert.ok(last.usage.output_tokens > 5)
})

test('tools are called, and told of their results', async () => {
  const first = await client.messages.stream({ model, max_tokens, tools, messages: asked('add 3, 4') }).finalMessage()
  const use = first.content.find(block => block.type === 'tool_use')
  assert.deepEqual(use.input, { a: 3, b: 4 })
  assert.equal(first.stop_reason, 'tool_use')
  const result = { type: 'tool_result', tool_use_id: use.id, content: [{ type: 'text', text: '7' }] }
  const messages = [...asked('add 3, 4'), { role: 'assistant', content: first.content }, ...asked([result])]
  const last = await client.messages.create({ model, max_tokens, tools, messages })
  assert.match(last.content[0].text, /The tool said: 7/)
})

test('a tool can be forced', async () => {
  const tool_choice = { type: 'tool', name: 'add' }
  const said = await client.messages.create({ model, max_tokens, tools, tool_choice, messages: asked('5 and 6') })
  assert.deepEqual(said.content.at(-1).input, { a: 5, b: 6 })
})

test('structured output is parsed', async () => {
  const schema = {
    type: 'object', required: ['name', 'people'], additionalProperties: false,
    properties: { name: { type: 'string' }, people: { type: 'integer' } },
  }
  const said = await client.messages.create({
    model, max_tokens, messages: asked("'Ulm' has 7"), output_config: { format: { type: 'json_schema', schema } },
  })
  assert.deepEqual(JSON.parse(said.content[0].text), { name: 'Ulm', people: 7 })
})

test('a picture arrives', async () => {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } }
  const messages = asked([image, { type: 'text', text: 'What is it?' }])
  const said = await client.messages.create({ model, max_tokens, messages })
  assert.match(said.content[0].text, /You showed 1 picture/)
})

test('tokens are counted, and models listed', async () => {
  assert.ok((await client.messages.countTokens({ model, messages: asked('Hello!') })).input_tokens > 0)
  const names = []
  for await (const one of client.models.list()) names.push(one.id)
  assert.ok(names.includes(model))
  assert.equal((await client.models.retrieve(model)).type, 'model')
})

test('refusals are the classes it documents', async () => {
  const stranger = client.withOptions({ apiKey: 'sk-wrong' })
  await assert.rejects(stranger.messages.create({ model, max_tokens, messages: asked('x') }), Anthropic.AuthenticationError)
  await assert.rejects(client.messages.create({ model: 'none', max_tokens, messages: asked('x') }), Anthropic.NotFoundError)
  await assert.rejects(client.messages.create({ model, max_tokens, messages: [] }), Anthropic.BadRequestError)
})
