"""The engine: a Tensor remembers how it was made, and `grad` walks back through that memory."""
