"""Apply a network: backends, tiling, upscaling, feature maps, ONNX."""
