def scaling_factor(batches):
    count, total, squares = 0, 0.0, 0.0
    for latents in batches:
        count += latents.numel()
        total += latents.double().sum().item()
        squares += latents.double().square().sum().item()
    return (squares / count - (total / count) ** 2) ** -0.5
