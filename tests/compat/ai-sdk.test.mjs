// Vercel's AI SDK, which many tools are built on: by the provider for compatible servers, and by OpenAI's own.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embedMany, generateText, isStepCount, Output, stepCountIs, streamText, tool } from 'ai'
import { z } from 'zod'

const { COMPAT_BASE_URL: baseURL, COMPAT_KEY: apiKey } = process.env
const compatible = createOpenAICompatible({ name: 'ours', baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true })
const official = createOpenAI({ baseURL, apiKey })
const City = z.object({ name: z.string(), people: z.number() })
const add = tool({
  description: 'Add two numbers.',
  inputSchema: z.object({ a: z.number(), b: z.number() }),
  execute: async ({ a, b }) => `it is ${a + b}`,
})
const stopWhen = (isStepCount ?? stepCountIs)(3)
const models = { compatible: compatible('demo'), chat: official.chat('demo'), responses: official.responses('demo') }

for (const [name, model] of Object.entries(models)) {
  test(`${name}: a text is generated`, async () => {
    const { text, usage, finishReason } = await generateText({ model, prompt: 'Hello!', maxRetries: 0 })
    assert.match(text, /demo/)
    assert.equal(finishReason, 'stop')
    assert.ok(usage.outputTokens > 5)
  })

  test(`${name}: a text is streamed`, async () => {
    const stream = streamText({ model, prompt: 'Hello!', maxRetries: 0 })
    let text = ''
    for await (const piece of stream.textStream) text += piece
    assert.match(text, /You wrote: Hello!/)
    assert.ok((await stream.usage).totalTokens > 5)
    assert.equal(await stream.finishReason, 'stop')
  })

  for (const ask of [generateText, streamText]) {
    test(`${name}: ${ask.name} calls tools and goes on after them`, async () => {
      const said = await ask({ model, prompt: 'add 3, 4', tools: { add }, stopWhen, maxRetries: 0 })
      assert.match(await said.text, /The tool said: it is 7/)
      assert.equal((await said.steps).length, 2)
    })
  }

  test(`${name}: an object is generated`, async () => {
    const { output } = await generateText({
      model, prompt: "'Ulm' has 12", output: Output.object({ schema: City }), maxRetries: 0,
    })
    assert.deepEqual(output, { name: 'Ulm', people: 12 })
  })

  test(`${name}: a picture is shown`, async () => {
    const image = Buffer.from('iVBORw0KGgo=', 'base64')
    const content = [{ type: 'text', text: 'What is it?' }, { type: 'file', data: image, mediaType: 'image/png' }]
    const { text } = await generateText({ model, messages: [{ role: 'user', content }], maxRetries: 0 })
    assert.match(text, /You showed 1 picture/)
  })

  test(`${name}: a refusal is an error with its status`, async () => {
    const { provider } = { provider: name === 'compatible' ? compatible : name === 'chat' ? official.chat : official.responses }
    await assert.rejects(generateText({ model: provider('none'), prompt: 'x', maxRetries: 0 }), { statusCode: 404 })
  })
}

test('embeddings are made', async () => {
  const made = await embedMany({ model: compatible.embeddingModel('demo'), values: ['a cat', 'a dog'] })
  assert.equal(made.embeddings.length, 2)
})
