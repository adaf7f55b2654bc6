"""Training, faster: the decoder of the Llama, Mistral, Qwen2, Qwen3 and Gemma 3 families computed by
few, large matrix products. The weights stay where transformers and PEFT have them.

Shapes: T tokens of a packed row, C width of the model, H query heads, K key heads, D of a head,
N outputs of a group of linear layers, R the ranks of its LoRAs together.
"""
