# A static copy for public reads: checkpoint, tiles and bundles, written by the servers and read through CloudFront.
resource "aws_s3_bucket" "static" {
  count         = var.static_copy ? 1 : 0
  bucket        = "${var.name}-static-${local.account}-${local.region}"
  force_destroy = false
  tags          = var.tags
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "static" {
  count  = var.static_copy ? 1 : 0
  bucket = aws_s3_bucket.static[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "static" {
  count  = var.static_copy ? 1 : 0
  bucket = aws_s3_bucket.static[0].id
  rule {
    id     = "history"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }
  depends_on = [aws_s3_bucket_versioning.static]
}

resource "aws_s3_bucket_public_access_block" "static" {
  count                   = var.static_copy ? 1 : 0
  bucket                  = aws_s3_bucket.static[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_cloudfront_origin_access_control" "static" {
  count                             = var.static_copy ? 1 : 0
  name                              = "${var.name}-static"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# CloudFront may list, so that a tile that is not there yet is 404, which clients of tlog-tiles expect, and not 403.
resource "aws_s3_bucket_policy" "static" {
  count  = var.static_copy ? 1 : 0
  bucket = aws_s3_bucket.static[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "CloudFrontReads"
        Effect    = "Allow"
        Principal = { Service = "cloudfront.amazonaws.com" }
        Action    = ["s3:GetObject", "s3:ListBucket"]
        Resource  = [aws_s3_bucket.static[0].arn, "${aws_s3_bucket.static[0].arn}/*"]
        Condition = { StringEquals = { "aws:SourceArn" = aws_cloudfront_distribution.static[0].arn } }
      },
      {
        Sid       = "TLSOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.static[0].arn, "${aws_s3_bucket.static[0].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

locals {
  # CloudFront's own policies, which have the same ids in every account.
  caching_optimized = "658327ea-f89d-4fab-a63d-7e88639e58f6"
  caching_disabled  = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
}

resource "aws_cloudfront_distribution" "static" {
  count               = var.static_copy ? 1 : 0
  enabled             = true
  is_ipv6_enabled     = true
  comment             = "${var.name}: static copy of ${var.host}"
  default_root_object = "checkpoint"
  price_class         = "PriceClass_100"
  http_version        = "http2and3"
  tags                = var.tags

  origin {
    origin_id                = "static"
    domain_name              = aws_s3_bucket.static[0].bucket_regional_domain_name
    origin_path              = "/log"
    origin_access_control_id = aws_cloudfront_origin_access_control.static[0].id
  }

  # Full tiles never change.
  default_cache_behavior {
    target_origin_id       = "static"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    cache_policy_id        = local.caching_optimized
    compress               = false
  }

  ordered_cache_behavior {
    path_pattern           = "/checkpoint"
    target_origin_id       = "static"
    viewer_protocol_policy = "https-only"
    allowed_methods        = ["GET", "HEAD"]
    cached_methods         = ["GET", "HEAD"]
    cache_policy_id        = local.caching_disabled
    compress               = false
  }

  viewer_certificate {
    cloudfront_default_certificate = true
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }
}
