// OpenAI's official Node client against the gateway, with the demo as its model.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod'
import { z } from 'zod'

const client = new OpenAI({ baseURL: process.env.COMPAT_BASE_URL, apiKey: process.env.COMPAT_KEY, maxRetries: 0 })
const model = 'demo'
const asked = content => [{ role: 'user', content }]
const City = z.object({ name: z.string(), people: z.number() })
const add = {
  type: 'object', required: ['a', 'b'], additionalProperties: false,
  properties: { a: { type: 'integer' }, b: { type: 'integer' } },
}
const tools = [{ type: 'function', function: { name: 'add', parameters: add } }]

test('models are listed and retrieved', async () => {
  const names = []
  for await (const one of client.models.list()) names.push(one.id)
  assert.ok(names.includes(model))
  assert.equal((await client.models.retrieve(model)).object, 'model')
  await assert.rejects(client.models.retrieve('none/such'), OpenAI.NotFoundError)
})

test('a chat is answered whole', async () => {
  const { data, request_id, response } = await client.chat.completions
    .create({ model, messages: asked('Hello!'), n: 2, stop: ['no real'] }).withResponse()
  assert.equal(data.choices.length, 2)
  assert.match(data.choices[1].message.content, /demo/)
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens)
  assert.ok(request_id && response.headers.get('openai-processing-ms'))
})

test('a chat is streamed, with its usage', async () => {
  const stream = client.chat.completions.stream({
    model, messages: asked('Hello!'), stream_options: { include_usage: true },
  })
  let text = ''
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? ''
  assert.equal((await stream.finalChatCompletion()).choices[0].message.content, text)
  assert.ok((await stream.totalUsage()).completion_tokens > 5)
})

test('tools are called, and told of their results', async () => {
  const called = []
  const runner = client.chat.completions.runTools({
    model, messages: asked('add 3, 4'), stream: true,
    tools: [{ type: 'function', function: {
      name: 'add', parameters: add, parse: JSON.parse,
      function: ({ a, b }) => { called.push([a, b]); return String(a + b) },
    } }],
  })
  assert.match(await runner.finalContent(), /The tool said: 7/)
  assert.deepEqual(called, [[3, 4]])
})

test('a tool can be forced', async () => {
  const said = await client.chat.completions.create({
    model, messages: asked('5 and 6'), tools, tool_choice: { type: 'function', function: { name: 'add' } },
  })
  assert.deepEqual(JSON.parse(said.choices[0].message.tool_calls[0].function.arguments), { a: 5, b: 6 })
  assert.equal(said.choices[0].finish_reason, 'tool_calls')
})

test('structured output is parsed', async () => {
  const said = await client.chat.completions.parse({
    model, messages: asked("'Ulm' has 120000 people"), response_format: zodResponseFormat(City, 'city'),
  })
  assert.deepEqual(said.choices[0].message.parsed, { name: 'Ulm', people: 120000 })
})

test('a picture arrives', async () => {
  const url = 'data:image/png;base64,iVBORw0KGgo='
  const content = [{ type: 'text', text: 'What is it?' }, { type: 'image_url', image_url: { url } }]
  const said = await client.chat.completions.create({ model, messages: asked(content) })
  assert.match(said.choices[0].message.content, /You showed 1 picture/)
})

test('embeddings are made', async () => {
  const made = await client.embeddings.create({ model, input: ['a cat', 'a dog'], dimensions: 32 })
  assert.deepEqual(made.data.map(one => one.embedding.length), [32, 32])
})

test('a response is answered, streamed, and structured', async () => {
  const whole = await client.responses.create({ model, input: 'Hello!', instructions: 'Be brief.' })
  assert.match(whole.output_text, /demo/)
  const stream = client.responses.stream({ model, input: "'Ulm' has 7", text: { format: zodTextFormat(City, 'city') } })
  const kinds = []
  for await (const event of stream) kinds.push(event.type)
  assert.equal(kinds[0], 'response.created')
  assert.equal(kinds.at(-1), 'response.completed')
  assert.deepEqual((await stream.finalResponse()).output_parsed, { name: 'Ulm', people: 7 })
})

test('a response calls tools, and goes on after them', async () => {
  const given = [{ type: 'function', name: 'add', parameters: add, strict: true }]
  const first = await client.responses.create({ model, input: asked('add 3, 4'), tools: given })
  const call = first.output.find(one => one.type === 'function_call')
  assert.deepEqual(JSON.parse(call.arguments), { a: 3, b: 4 })
  const result = { type: 'function_call_output', call_id: call.call_id, output: '7' }
  const last = await client.responses.create({ model, input: [...asked('add 3, 4'), ...first.output, result], tools: given })
  assert.match(last.output_text, /The tool said: 7/)
})

test('refusals are the classes it documents', async () => {
  const stranger = client.withOptions({ apiKey: 'sk-wrong' })
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError)
  await assert.rejects(client.chat.completions.create({ model: 'none', messages: asked('x') }), error => {
    assert.ok(error instanceof OpenAI.NotFoundError)
    assert.equal(error.code, 'model_not_found')
    assert.ok(error.requestID)
    return true
  })
  await assert.rejects(client.chat.completions.create({ model, messages: [] }), OpenAI.BadRequestError)
  await assert.rejects(client.chat.completions.create({ model, messages: asked('x'), n: 0 }), OpenAI.BadRequestError)
})
