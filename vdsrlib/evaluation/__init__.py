"""Scores: PSNR and SSIM of images, folders and networks."""
