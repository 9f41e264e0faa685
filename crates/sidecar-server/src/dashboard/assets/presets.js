// Vendors that a new provider can start from.

/** `key` stands in addresses, `note` names a text, `fields` are what the form starts with. */
export const PRESETS = [
  {
    key: 'nim',
    name: 'NVIDIA NIM',
    note: 'preset.nim',
    fields: { name: 'nim', api_base_url: 'https://integrate.api.nvidia.com/v1', rpm_limit: 40 },
  },
  {
    key: 'deepseek',
    name: 'DeepSeek',
    note: 'preset.openai',
    fields: { name: 'deepseek', api_base_url: 'https://api.deepseek.com' },
  },
  {
    key: 'siliconflow',
    name: 'SiliconFlow',
    note: 'preset.openai',
    fields: { name: 'siliconflow', api_base_url: 'https://api.siliconflow.cn/v1' },
  },
  {
    key: 'openrouter',
    name: 'OpenRouter',
    note: 'preset.openai',
    fields: { name: 'openrouter', api_base_url: 'https://openrouter.ai/api/v1' },
  },
  {
    key: 'openai',
    name: 'OpenAI',
    note: 'preset.openai',
    fields: { name: 'openai', api_base_url: 'https://api.openai.com/v1' },
  },
  {
    key: 'anthropic',
    name: 'Anthropic',
    note: 'preset.anthropic',
    fields: {
      name: 'anthropic',
      api_base_url: 'https://api.anthropic.com',
      api: 'anthropic-messages',
    },
  },
  {
    key: 'ollama',
    name: 'Ollama',
    note: 'preset.ollama',
    fields: { name: 'ollama', api_base_url: 'http://127.0.0.1:11434/v1' },
  },
];
